"""A figure of the paper from the committed results, with its claims and verdicts, for a notebook."""

import re
import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt

from experiments import figures
from experiments.claims import CLAIMS, finding
from experiments.claims.parts import at_largest, enough, load, progress
from experiments.figures.parts import Results

# The figure of the paper: the function that draws it, and the experiments whose results it takes.
FIGURES: dict[int, tuple[Callable[..., Any], tuple[str, ...]]] = {
    2: (figures.figure_2, ("max_depth", "deterministic_depth")),
    3: (figures.figure_3, ("functions",)),
    4: (figures.figure_4, ("image_max_depth", "image_deterministic_depth")),
    5: (figures.figure_5, ("width",)),
    6: (figures.figure_6, ("rotation", "data_amount")),
    7: (figures.figure_7, ("rotation",)),
    8: (figures.figure_8, ("data_amount",)),
    9: (figures.figure_9, ("image_max_depth", "image_deterministic_depth")),
    10: (figures.figure_10, ("calibration",)),
    11: (figures.figure_11, ("forward_time", "image_max_depth")),
}
LARGEST = {4, 11}  # show one max depth, the largest that there is
WHOLE = {3, 10}  # compare the settings with each other
DPI = 72


def show(number: int) -> None:
    """Draw a figure of the paper, or say what is missing, and print its claims, our findings and the verdicts.

    Args:
        number: Its number, 2 to 11.
    """
    draw, names = FIGURES[number]
    found = [load(name) for name in names]
    if not all(enough(name, partial=number not in WHOLE) for name in names):
        parts = ", ".join("{} of {} settings of {}".format(*progress(name), name) for name in names)
        print(f"Not drawn: {parts} are finished. python -m experiments NAME makes the others.")
    else:
        draw(*found, **({"max_depth": _largest()} if number in LARGEST else {}))
        plt.gcf().set_dpi(DPI)
        plt.show()
        print(_sizes(found))
    for claim in CLAIMS:
        if str(number) in re.findall(r"\d+", claim.figure):
            text, verdict = finding(claim)
            for label, words in (
                ("claim", claim.text),
                ("paper", claim.reference),
                ("found", text),
                ("verdict", verdict.upper()),
            ):
                print(textwrap.fill(f"{label:8} {words}", 118, subsequent_indent=" " * 9))


def _largest() -> int:
    return at_largest(load("image_max_depth"))[0]["settings"]["max_depth"]


def _sizes(found: list[Results]) -> str:
    """Return the commands that made the results, and the number of repeats."""
    commands = dict.fromkeys(result["command"].split(" --out")[0] for results in found for result in results)
    repeats = {len(r["repeats"]) for results in found for r in results if "repeats" in r}
    count = f"; repeats: {', '.join(map(str, sorted(repeats)))}" if repeats else ""
    return f"made by: {', '.join(commands)}{count}\n"

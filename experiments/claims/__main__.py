"""Write the tables of ``experiments/README.md``: ``python -m experiments.claims``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import per_input, shift
from experiments.claims import ABLATIONS, CLAIMS, Ablation, Claim, finding
from experiments.claims.parts import enough, load, seconds
from experiments.engine.runner import RESULTS
from pyro_vds.runs import atomic

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- {}: python -m experiments.claims -->\n", "<!-- end of {} -->"


def claims_table() -> str:
    """Return the paper's claims with findings and verdicts as a Markdown table."""
    head = "| figure | claim | found here (mean ± standard deviation over repeats) | verdict | experiments | time |"
    return "\n".join([head, "| --- " * 6 + "|", *map(_claim, CLAIMS)]) + "\n"


def ablations_table() -> str:
    """Return our own questions and answers as a Markdown table."""
    head = "| question | found (mean ± standard deviation over repeats) | experiments | time |"
    return "\n".join([head, "| --- " * 4 + "|", *map(_ablation, ABLATIONS)]) + "\n"


def shift_tables() -> str:
    """Return the tables of the experiment ``shift``."""
    content = _single("shift")
    return f"{shift.table(content)}\n\n{shift.corruptions_table(content)}\n"


def per_input_table() -> str:
    """Return the table of the experiment ``per_input``."""
    return per_input.table(_single("per_input")) + "\n"


def _single(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


TABLES = {"claims": claims_table, "ablations": ablations_table, "shift": shift_tables, "per input": per_input_table}


def inserted(text: str) -> str:
    """Return the README's text with the tables of now between the markers.

    Args:
        text: The text.

    Raises:
        ValueError: If markers are absent.
    """
    for name, content in TABLES.items():
        start, end = START.format(name), END.format(name)
        before, found_start, rest = text.partition(start)
        _, found_end, after = rest.partition(end)
        if not found_start or not found_end:
            raise ValueError(f"Expected the markers {start!r} and {end!r} in the text.")
        text = before + start + content() + end + after
    return text


def _claim(claim: Claim) -> str:
    found, verdict = finding(claim)
    return f"| {claim.figure} | {claim.text} | {found} | {verdict} | {_made_by(claim.experiments)} |"


def _ablation(ablation: Ablation) -> str:
    ready = all(enough(name, partial=ablation.partial) for name in ablation.experiments)
    answer = ablation.answer(*map(load, ablation.experiments)) if ready else "not run to the end"
    return f"| {ablation.question} | {answer} | {_made_by(ablation.experiments)} |"


def _made_by(experiments: Sequence[str]) -> str:
    """Return the experiments, with the option of the committed results, and the time that they took."""
    forms = {name: {"--cpu" in result["command"] for result in load(name)} for name in experiments}
    names = ", ".join(f"`{name}`{' `--cpu`' if form == {True} else ''}" for name, form in forms.items())
    return f"{names} | {seconds(experiments) / 60:.0f} min"


if __name__ == "__main__":
    with atomic(README) as temporary:
        temporary.write_text(inserted(README.read_text()))

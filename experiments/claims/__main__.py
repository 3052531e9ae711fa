"""Write the table of claims into ``experiments/README.md``: ``python -m experiments.claims``."""

from pathlib import Path

from experiments.claims import CLAIMS, Claim, finding
from experiments.claims.parts import load, seconds
from pyro_vds.runs import atomic

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- claims: python -m experiments.claims -->\n", "<!-- end of claims -->"


def table() -> str:
    """Return the claims with findings and verdicts as a Markdown table."""
    head = "| figure | claim | found here (mean ± standard deviation over repeats) | verdict | experiments | time |"
    return "\n".join([head, "| --- " * 6 + "|", *map(_row, CLAIMS)]) + "\n"


def inserted(text: str) -> str:
    """Return the README's text with the table of now between the markers.

    Args:
        text: The text.

    Raises:
        ValueError: If the markers are absent.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"Expected the markers {START!r} and {END!r} in the text.")
    return before + start + table() + end + after


def _row(claim: Claim) -> str:
    found, verdict = finding(claim)
    names = ", ".join(f"`{name}`{_form(name)}" for name in claim.experiments)
    return f"| {claim.figure} | {claim.text} | {found} | {verdict} | {names} | {seconds(claim) / 60:.0f} min |"


def _form(name: str) -> str:
    """Return the option with which the committed results were made."""
    commands = {"--cpu" in result["command"] for result in load(name)}
    return " `--cpu`" if commands == {True} else ""


if __name__ == "__main__":
    with atomic(README) as temporary:
        temporary.write_text(inserted(README.read_text()))

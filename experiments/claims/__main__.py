"""Write the tables of the pages of results from the result files: ``python -m experiments.claims``."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import per_input, recipe_parts, spirals_recipe
from experiments.claims import (
    ABLATIONS,
    CLAIMS,
    Ablation,
    Claim,
    compared,
    connectivity_tables,
    finding,
    nas,
    relaxations,
    supernet,
)
from experiments.claims.lesions import LESION_CLAIMS
from experiments.claims.parts import enough, load, seconds
from experiments.engine.results import RESULTS, results
from experiments.figures.parts import NAMES
from pyro_vds.runs.files import atomic

ROOT = Path(__file__).parents[2]
START, END = "<!-- {}: python -m experiments.claims -->\n", "<!-- end of {} -->"


def verdicts_table() -> str:
    """Return the paper's claims with the verdicts alone as a Markdown table."""
    rows = [f"| {claim.figure} | {claim.text} | {finding(claim)[1]} |" for claim in CLAIMS]
    return "\n".join(["| figure | the paper's claim | here |", "| --- " * 3 + "|", *rows]) + "\n"


def claims_table() -> str:
    """Return the paper's claims with findings and verdicts as a Markdown table."""
    found = "found here (mean ± standard deviation over repeats)"
    head = f"| figure | claim | the paper's numbers | {found} | verdict | experiments | time |"
    return "\n".join([head, "| --- " * 7 + "|", *map(_claim, CLAIMS)]) + "\n"


def ablations_tables() -> str:
    """Return our own questions, each with the Markdown table that answers it."""
    return "\n".join(map(_ablation, ABLATIONS))


def per_input_table() -> str:
    """Return the table of the experiment ``per_input``."""
    return per_input.table(_single("per_input")) + "\n"


def recipe_table() -> str:
    """Return the table of the experiment ``spirals_recipe``."""
    return spirals_recipe.table(results("spirals_recipe")) + "\n"


def spirals_table() -> str:
    """Return the table of the experiment ``spirals_recipe`` for its fresh seeds and the presets."""
    fresh = [r for r in results("spirals_recipe") if r["varied"]["seed"] == spirals_recipe.FRESH]
    return spirals_recipe.table([r for r in fresh if r["varied"]["variant"] in spirals_recipe.SHOWN]) + "\n"


def parts_table() -> str:
    """Return the table of the experiment ``recipe_parts``."""
    return recipe_parts.table(results("recipe_parts")) + "\n"


def brief_table() -> str:
    """Return the brief table of the experiment ``plain_or_learnt``."""
    return compared.brief(results("plain_or_learnt")) + "\n"


def compared_tables() -> str:
    """Return the tables of the experiment ``plain_or_learnt``: a summary, and one for each data set with results."""
    found = results("plain_or_learnt")
    parts = [compared.summary(found)]
    for name in dict.fromkeys(result["settings"]["data"] for result in found):
        parts.append(
            f"#### {NAMES.get(name, name)}\n\n{compared.table(found, name)}\n\n{compared.choices(found, name)}"
        )
    return "\n\n".join(parts) + "\n"


def compared_shift_table() -> str:
    """Return the table of ``plain_or_learnt`` for shifted images and other data."""
    return compared.shift_table(results("plain_or_learnt")) + "\n"


def lesions_table() -> str:
    """Return the claims about lesions with findings and verdicts as a Markdown table."""
    rows = []
    for claim in LESION_CLAIMS:
        found, verdict = finding(claim)
        rows.append(f"| {claim.figure} | {claim.text} | {claim.reference} | {found} | {verdict} |")
    head = "| figure | claim | in the paper | found here (mean ± standard deviation over seeds) | verdict |"
    made = "; ".join(_made_by(("lesions",)))
    return "\n".join([f"{made}.", "", head, "| --- " * 5 + "|", *rows]) + "\n"


def nas_posteriors() -> str:
    """Return the table of ``nas_tables`` with the exact posteriors over cells."""
    return nas.posterior_table(results("nas_tables")) + "\n"


def nas_guides() -> str:
    """Return the table of ``nas_tables`` with the divergences of guides."""
    return nas.guides_table(results("nas_tables")) + "\n"


def nas_searches() -> str:
    """Return the table of ``nas_tables`` with the regrets of searches."""
    return nas.search_table(results("nas_tables")) + "\n"


def nas_depths() -> str:
    """Return the tables of ``nas_tables`` with posteriors of the depth."""
    return nas.depth_tables(results("nas_tables")) + "\n"


def nas_review() -> str:
    """Return the claims of the review of VIM-NAS with verdicts."""
    return nas.review_table(results("nas_tables")) + "\n"


def relaxations_claims() -> str:
    """Return what the exact sum over depths buys, with verdicts."""
    return relaxations.claims_table(results("relaxations")) + "\n"


def relaxations_training() -> str:
    """Return the table of ``relaxations`` with what each method learns."""
    return relaxations.training_table(results("relaxations")) + "\n"


def relaxations_gradients() -> str:
    """Return the table of ``relaxations`` with bias and noise of gradients."""
    return relaxations.gradients_table(results("relaxations")) + "\n"


def relaxations_merge() -> str:
    """Return the table of ``relaxations`` with gradients for gates behind a normalisation."""
    return relaxations.merge_table(results("relaxations")) + "\n"


def supernet_claims() -> str:
    """Return the claims about search with shared weights, with verdicts."""
    return supernet.claims_table(results("supernet")) + "\n"


def supernet_searches() -> str:
    """Return the table of ``supernet``, and what random cells are like."""
    found = results("supernet")
    return f"{supernet.searches_table(found)}\n\n{supernet.alone_text(found)}.\n"


def connectivity_claims() -> str:
    """Return the claims of the blog post on connectivity with verdicts."""
    return connectivity_tables.claims_table(load("connectivity")) + "\n"


def connectivity_gates() -> str:
    """Return the table of ``connectivity`` for six gates."""
    return connectivity_tables.gates_table(load("connectivity")) + "\n"


def connectivity_starts() -> str:
    """Return the table of ``connectivity`` for different starts."""
    return connectivity_tables.starts_table(load("connectivity")) + "\n"


def connectivity_searches() -> str:
    """Return the table of ``connectivity`` for what searches keep."""
    return connectivity_tables.retrain_table(load("connectivity")) + "\n"


def connectivity_merges() -> str:
    """Return the table of ``connectivity`` for merges."""
    return connectivity_tables.merges_table(load("connectivity")) + "\n"


def connectivity_images() -> str:
    """Return the table of ``connectivity`` for CIFAR-10."""
    return connectivity_tables.images_table(load("connectivity")) + "\n"


def _single(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


Tables = Mapping[str, Callable[[], str]]
PAGES: dict[Path, Tables] = {
    ROOT / "README.md": {"plain or learnt": brief_table},
    ROOT / "docs" / "results.md": {
        "verdicts": verdicts_table,
        "spirals": spirals_table,
        "plain or learnt": brief_table,
    },
    ROOT / "experiments" / "README.md": {
        "claims": claims_table,
        "ablations": ablations_tables,
        "lesions": lesions_table,
        "per input": per_input_table,
        "recipe": recipe_table,
        "parts": parts_table,
        "plain or learnt": compared_tables,
        "plain or learnt under shift": compared_shift_table,
        "nas review": nas_review,
        "nas posteriors": nas_posteriors,
        "nas guides": nas_guides,
        "nas searches": nas_searches,
        "nas depths": nas_depths,
        "relaxations": relaxations_claims,
        "relaxations training": relaxations_training,
        "relaxations gradients": relaxations_gradients,
        "relaxations merge": relaxations_merge,
        "supernet": supernet_claims,
        "supernet searches": supernet_searches,
        "connectivity": connectivity_claims,
        "connectivity gates": connectivity_gates,
        "connectivity starts": connectivity_starts,
        "connectivity searches": connectivity_searches,
        "connectivity merges": connectivity_merges,
        "connectivity images": connectivity_images,
    },
}


def inserted(text: str, tables: Tables) -> str:
    """Return a text with the tables of now between their markers.

    Args:
        text: The text.
        tables: The tables by the names of the markers.

    Raises:
        ValueError: If markers are absent.
    """
    for name, content in tables.items():
        start, end = START.format(name), END.format(name)
        before, found_start, rest = text.partition(start)
        _, found_end, after = rest.partition(end)
        if not found_start or not found_end:
            raise ValueError(f"Expected the markers {start!r} and {end!r} in the text.")
        text = before + start + content() + end + after
    return text


def _claim(claim: Claim) -> str:
    found, verdict = finding(claim)
    cells = (claim.figure, claim.text, claim.reference, found, verdict, *_made_by(claim.experiments))
    return f"| {' | '.join(cells)} |"


def _ablation(ablation: Ablation) -> str:
    if not all(enough(name, partial=ablation.partial) for name in ablation.experiments):
        return f"### {ablation.question}\n\nNot run to the end: {', '.join(ablation.experiments)}.\n"
    lines = [ablation.columns, ("---",) * len(ablation.columns), *ablation.rows(*map(load, ablation.experiments))]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"### {ablation.question}\n\n{'; '.join(_made_by(ablation.experiments))}.\n\n{table}\n"


def _made_by(experiments: Sequence[str]) -> tuple[str, str]:
    """Return the experiments, with the option of the committed results, and the time that they took."""
    forms = {name: {"--cpu" in result["command"] for result in load(name)} for name in experiments}
    names = ", ".join(f"`{name}`{' `--cpu`' if form == {True} else ''}" for name, form in forms.items())
    return names, f"{seconds(experiments) / 60:.0f} min"


if __name__ == "__main__":
    for page, tables in PAGES.items():
        with atomic(page) as temporary:
            temporary.write_text(inserted(page.read_text(), tables))

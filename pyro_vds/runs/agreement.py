"""Whether guide and exact posterior of a run agree, and what to do if they do not."""

from collections.abc import Mapping
from typing import Any

from pyro_vds.diagnostics.agreement import agreement_note
from pyro_vds.runs.cuts import cut_text, label_text
from pyro_vds.runs.settings import Settings
from pyro_vds.runs.site_text import has_sites
from pyro_vds.spaces.space import Architecture


def note_on_guide(posterior: Mapping[str, Any], settings: Settings) -> str:
    """Return a sentence if guide and exact posterior of a run disagree, with what to do; empty if they agree.

    They disagree if the run's rule chooses different architectures from them, or if the gap is more than a nat.

    Args:
        posterior: The posterior part of the run's metrics. Without an exact posterior nothing is said.
        settings: The settings of the run.
    """
    if "chosen_exact" not in posterior:
        return ""
    chosen, exactly = (  # the labels of sites are lists in JSON
        ", ".join(f"{axis} {label_text(label)}" for axis, label in posterior[name].items())
        for name in ("chosen", "chosen_exact")
    )
    return agreement_note(posterior["evidence_gap"], chosen, exactly, _remedy(posterior, settings))


def cut_line(cut: Architecture, given: Mapping[str, Any], rule: str) -> str:
    """Return to which architecture a run is cut, and what chose it, as a line.

    Args:
        cut: The label of each axis.
        given: The labels that the user gave; the guide chose the others.
        rule: The rule by which it did.
    """
    chosen = [axis for axis in cut if axis not in given]
    which = "" if len(chosen) == len(cut) else f"{', '.join(chosen)}: "
    return f"pruned to {cut_text(cut)}" + (f" ({which}guide, rule {rule})" if chosen else "")


def _remedy(posterior: Mapping[str, Any], settings: Settings) -> str:
    """Return what brings the guide of a run nearer to the exact posterior."""
    several = has_sites(posterior) or len(posterior["axes"]) > 1
    if several and settings.guide == "independent":
        dependent = "mixture or generator" if has_sites(posterior) else "joint"
        return f"take a guide that knows how choices depend on each other, --guide {dependent}"
    if has_sites(posterior):
        return "train for more epochs, or with more --components"
    by_hand = "guide.set_joint_probs(exact.log_joint_probs.exp())" if several else "guide.set_probs(exact.probs)"
    if settings.preset == "paper":
        return f"train by the recipe (--preset recipe), or call {by_hand}"
    closed = "" if settings.guide_update == "closed_form" else "train with --guide-update closed_form, or "
    return f"{closed}call {by_hand}"

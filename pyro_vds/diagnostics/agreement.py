"""Whether a guide agrees with the exact posterior, in one sentence."""

LARGE_GAP = 1.0
"""The gap between guide and exact posterior from which they disagree, nats: a factor e between ELBO and evidence."""

REMEDY = "train by the recipe (vds.recipe(), --preset recipe), or call guide.set_probs(exact.probs)"
"""What brings a guide of one axis to the exact posterior."""


def agreement_note(gap: float, chosen: str, chosen_exact: str, remedy: str = REMEDY) -> str:
    """Return a sentence if guide and exact posterior disagree, with what to do; an empty text if they agree.

    They disagree if they choose different architectures, or if the gap ``KL(q || p(a | data))`` is more than
    :data:`LARGE_GAP`.

    Args:
        gap: The gap, nats.
        chosen: What is chosen from the guide, such as ``"depth 7"``.
        chosen_exact: What the same rule chooses from the exact posterior.
        remedy: What to do.
    """
    if chosen == chosen_exact and gap <= LARGE_GAP:
        return ""
    both = f"both choose {chosen}"
    choices = both if chosen == chosen_exact else f"the guide chooses {chosen}, the exact posterior {chosen_exact}"
    return f"Guide and exact posterior disagree (gap {gap:.2f} nats): {choices}. To make them agree, {remedy}."

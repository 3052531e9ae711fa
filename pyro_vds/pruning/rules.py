"""Rules that choose an architecture from its posterior."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.infer.exact import require_one_posterior
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.axis import DATA
from pyro_vds.spaces.space import Architecture

Rule = Literal["95", "argmax", "expected"]


def choose_depth(probs: Float[Tensor, " depth"] | np.ndarray | Sequence[float], rule: Rule = "95") -> int:
    """Choose a depth from its posterior (paper, section 2 and appendix D).

    Args:
        probs: Posterior probability of each depth ``0..D``: a tensor, an array or a list.
        rule: ``"95"``: the smallest ``i`` with ``q_i >= 0.95 max_j q_j`` (the paper's rule for medium and large
            data); ``"argmax"``: ``argmax_i q_i`` (for small data); ``"expected"``: ``round(sum_i i q_i)``.

    Returns:
        The depth, in ``0..D``.

    Raises:
        TypeError: If ``probs`` does not hold numbers.
        ValueError: If the rule is unknown, or ``probs`` is not a vector of probabilities.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"Expected a rule of {', '.join(map(repr, get_args(Rule)))}, got {rule!r}.")
    try:
        q = torch.as_tensor(probs).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"Expected a vector of depth probabilities, such as guide.probs()['depth'], got {type(probs).__name__}: "
            f"{error}."
        ) from error
    if q.ndim != 1 or not bool((q >= 0).all()) or abs(float(q.sum()) - 1) > 1e-3:
        raise ValueError(
            f"Expected a vector of depth probabilities that sum to one, got shape {tuple(q.shape)} with sum "
            f"{float(q.sum()):.6g}. Pass guide.probs()['depth']."
        )
    if rule == "expected":
        return round(float((q * torch.arange(len(q))).sum()))
    if rule == "argmax":
        return int(q.argmax())
    return int((q >= 0.95 * q.max()).nonzero()[0])


def choose(model: VDSModel, guide: Guide, costs: Real[Tensor, "*axes"], share: float = 0.95) -> Architecture:
    """Choose the cheapest architecture whose posterior probability is at least a share of the largest one.

    With one axis and costs that grow along it, this is the paper's rule "95" (section 2), as in
    :func:`pyro_vds.choose_depth`. Replicates get one architecture, chosen by their mean posterior; use
    :func:`pyro_vds.replicates` to choose one for each.

    Args:
        model: A model with at least one axis.
        guide: The guide of the model.
        costs: Cost of each architecture, shape ``sizes``: :func:`pyro_vds.multiply_adds`, or measured times.
        share: Share of the largest posterior probability, in ``(0, 1]``.

    Returns:
        The chosen label of each axis, for instance ``{"depth": 5, "width": 16}``: a cut for :func:`pyro_vds.prune`.

    Raises:
        ValueError: If the guide or the costs do not fit the axes, the costs are not finite, the share is out of range,
            or each input has an architecture of its own.
    """
    require_one_posterior(model)
    guide = guide_or_empty(model, guide)
    if tuple(costs.shape) != model.sizes or not model.space or not bool(costs.isfinite().all()):
        raise ValueError(
            f"Expected a finite cost for each architecture, shape {model.sizes}, got shape {tuple(costs.shape)}."
        )
    if not 0 < share <= 1:
        raise ValueError(f"Expected a share in (0, 1], got {share}.")
    q = guide.joint_probs().double().cpu()
    q = q.mean(tuple(range(len(model.batch_shape)))) if model.batch_shape else q
    if tuple(q.shape) != model.sizes or not bool(q.isfinite().all()):
        raise ValueError(f"Expected finite probabilities of shape {model.sizes} from the guide, got {q}.")
    cheapest = costs.double().cpu().where(q >= share * q.max(), torch.inf).flatten().argmin()
    return model.space.architecture(int(cheapest))


def choose_architecture(guide: Guide, threshold: float | None = None) -> Architecture:
    """Choose the most probable architecture, or the gates that are open with a probability above a threshold.

    ``prune(model, guide, **choose_architecture(guide))`` cuts to it. The mode of independent gates is the choice with
    the threshold 0.5.

    Args:
        guide: The guide of a model with one architecture for all inputs.
        threshold: For axes with sites and two labels, such as gates: a site has the second label if its probability is
            above this number, in ``[0, 1)``. Axes without sites keep the label of the mode. ``None`` is the mode.

    Returns:
        The label of each axis, a tuple with the label of each site for an axis with sites.

    Raises:
        ValueError: If the threshold is out of range, no axis is one of gates, each input has its own architecture, or
            there are replicates.
    """
    if guide.batch_shape or DATA in guide.space.plates:
        raise ValueError(
            "Expected the guide of a single model with one architecture for all inputs. Choose for each replicate of "
            "pyro_vds.replicates(model, guide)."
        )
    found = guide.mode()
    if threshold is None:
        return found
    gates = {name: axis for name, axis in guide.space.with_sites.items() if len(axis) == 2}
    if not 0 <= threshold < 1 or not gates or len(gates) < len(guide.space.with_sites):
        raise ValueError(
            f"Expected a threshold in [0, 1) and axes with sites of two labels, such as gates, got {threshold} and "
            f"{guide.space}. Leave the threshold out for the most probable architecture."
        )
    probs = guide.probs()
    opened = {name: (probs[name][:, 1] > threshold).tolist() for name in gates}
    return found | {name: tuple(axis.labels[int(is_open)] for is_open in opened[name]) for name, axis in gates.items()}

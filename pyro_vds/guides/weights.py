"""Weights of the architectures by name: the posterior, and tables that a guide keeps beside it.

A sharp posterior predicts well and has no disagreement left. Prediction and uncertainty can want different weights over
the same read-outs, which one pass computes anyway.
"""

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.ops.compat import StaysFloat32
from pyro_vds.spaces.axis import DATA
from pyro_vds.spaces.space import LIMIT, Space

Weights = Literal["posterior", "uniform", "stacked", "exact"]
"""The names of weights over the architectures.

``"posterior"`` is the guide's ``q``. ``"uniform"`` counts each architecture the same. ``"stacked"`` are the weights of
:func:`pyro_vds.stacked_weights`, chosen on validation data: an estimate. ``"exact"`` is the exact posterior for the
weights of the network, of :func:`pyro_vds.exact_posterior`.
"""

SUM_TOLERANCE = 1e-4

REMEDIES = {
    "stacked": (
        "Fit with validation data, which leaves stacked weights, or keep those of any held-out data: "
        "guide.keep_weights('stacked', pyro_vds.stacked_weights(model, data))."
    ),
    "exact": (
        "Keep those for the training data: "
        "guide.keep_weights('exact', pyro_vds.exact_posterior(model, data).log_joint_probs)."
    ),
}
"""The weights that a guide keeps as tables, and how to get them."""


class WeightTables(StaysFloat32):
    """Tables of log weights over the architectures, ``(*batch_shape, *sizes)``, nats.

    A table that is set is a buffer, in the state of the guide; one that is not set is in no state. Loading a state sets
    its tables and unsets the others.

    Args:
        space: The space of architectures. If each input has its own, there is no table to keep.
        batch_shape: ``(replicate,)``, or empty without replicates.
        like: A tensor on the device and in the dtype of the tables.
    """

    uniform: Tensor

    def __init__(self, space: Space, batch_shape: torch.Size, like: Tensor) -> None:
        super().__init__()
        self.space = space
        # An empty table where there are too many architectures for one.
        shape = (*batch_shape, *space.sizes) if space.count <= LIMIT else (0,)
        self.register_buffer("uniform", like.new_full(shape, -math.log(space.count)), persistent=False)
        for name in REMEDIES if space and DATA not in space.plates else ():
            self.register_buffer(name, None)
        self.register_load_state_dict_pre_hook(_make_room)

    @property
    def kept(self) -> dict[str, Tensor]:
        """The tables that are set, by name."""
        return {name: table for name, table in self.named_buffers() if name in REMEDIES}

    def table(self, name: Weights) -> Float[Tensor, "*batch_shape_and_axes"]:
        """Return a copy of a table, nats; that of a space without axes has the one architecture with weight one.

        Args:
            name: Name of the weights, other than ``"posterior"``.

        Raises:
            ValueError: If there are no such weights.
        """
        if name not in get_args(Weights):
            raise ValueError(f"Expected weights of {', '.join(map(repr, get_args(Weights)))}; got {name!r}.")
        self.space.require_table("for weights by name", "Draw some with pyro_vds.drawn(model, guide, samples=40).")
        if name == "uniform" or not self.space:
            return self.uniform.clone()
        self._check_own(name)
        if name not in self.kept:
            raise ValueError(f"Expected a guide with {name} weights, got one that has none yet. {REMEDIES[name]}")
        return self.kept[name].clone()

    @torch.no_grad()
    def keep(self, name: str, log_weights: Tensor) -> None:
        """Set a table.

        Args:
            name: ``"stacked"`` or ``"exact"``.
            log_weights: Log weights that sum to one, ``(*batch_shape, *sizes)``, nats; minus infinity is a weight of 0.

        Raises:
            ValueError: If there is no such table, the shape does not fit, or the weights do not sum to one.
        """
        if name not in REMEDIES:
            raise ValueError(f"Expected weights of {', '.join(map(repr, REMEDIES))} to keep, got {name!r}.")
        self._check_own(name)
        if log_weights.shape != self.uniform.shape:
            raise ValueError(
                f"Expected log weights of shape {tuple(self.uniform.shape)}, for the axes {list(self.space)}; got "
                f"{tuple(log_weights.shape)}."
            )
        log_sums = log_weights.double().flatten(-len(self.space)).logsumexp(-1)
        sums = log_sums.exp()
        if not bool(((sums - 1).abs() <= SUM_TOLERANCE).all()):  # a NaN is refused, too
            raise ValueError(f"Expected log weights whose exponentials sum to one, got a sum of {sums.tolist()}.")
        setattr(self, name, (log_weights.double() - log_sums[(..., *[None] * len(self.space))]).to(self.uniform))

    def forget(self) -> None:
        """Unset every kept table, as after a change of the network's weights."""
        for name in self.kept:
            setattr(self, name, None)

    def copy_replicate(self, replicates: "WeightTables", index: int) -> None:
        """Take over the tables of one replicate.

        Args:
            replicates: The tables of all replicates.
            index: Number of the replicate.
        """
        for name, table in replicates.kept.items():
            setattr(self, name, table[index].clone())

    def _check_own(self, name: str) -> None:
        """Raise unless there can be a table of a name."""
        if not hasattr(self, name):
            reason = "an architecture of its own for each input" if self.space else "a single architecture"
            raise ValueError(f"Expected the weights 'posterior' or 'uniform' for {reason}, got {name!r}.")


def _make_room(module: StaysFloat32, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Set the tables of a state that is to be loaded, and unset the others, which an earlier version stored as NaN."""
    assert isinstance(module, WeightTables)
    for name in REMEDIES:
        if hasattr(module, name):
            if prefix + name in state and bool(state[prefix + name].isnan().any()):
                del state[prefix + name]
            setattr(module, name, torch.empty_like(module.uniform) if prefix + name in state else None)

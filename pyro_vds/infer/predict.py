"""Predictions from one pass of the network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args, overload

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.cases import Case, Cut
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.passes import BATCH_SIZE, read_out
from pyro_vds.infer.weigher import require_weights, weigher
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import joined, points
from pyro_vds.spaces.typing import InputsLike, TargetsLike

Want = Literal[
    "log_prob", "probs", "log_probs", "mean", "variance", "noise", "disagreement", "pit", "entropy", "metrics"
]
"""The quantities that :func:`predict` can compute for each point."""

Prediction = dict[str, Tensor]

# The quantities that need targets.
_OF_TARGETS = ("log_prob", "pit", "metrics")


@overload
def predict(
    model: VDSModel, guide: Guide | None, x: InputsLike, *, weights: Weights = ..., batch_size: int = ...
) -> Mixture: ...
@overload
def predict(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = ...,
    *,
    cuts: Sequence[Cut | Case] = ...,
    want: Sequence[Want],
    weights: Weights = ...,
    batch_size: int = ...,
) -> list[Prediction]: ...
def predict(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    *,
    cuts: Sequence[Cut | Case] = ({},),
    want: Sequence[Want] | None = None,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
) -> Mixture | list[Prediction]:
    """Return the predictive distribution, or quantities of it for every cut, from one pass over the data.

    ``predict(model, guide, x)`` is a :class:`pyro_vds.Mixture`, which holds the outputs of all architectures for the
    inputs. With ``want`` the data are streamed, and only the outputs of one batch are in memory.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(N, ...)``, several of them as a tuple or a dict; or a ``DataLoader`` of pairs or of inputs.
        y: Targets of the inputs, if ``want`` needs them; ``None`` for a ``DataLoader``.
        cuts: Cuts of the network: ``{}`` for all architectures, ``{"depth": 3}`` for a cut to depth 3. For an
            architecture for each input, a cut can be a tensor with the entry at which each input stops. A
            :class:`pyro_vds.Case` is a cut with weights of its own: ``[{}, Case("uniform"), Case("stacked", {"depth":
            3})]`` are three predictions from one pass.
        want: ``"log_prob"``, ``"probs"``, ``"log_probs"``, ``"mean"``, ``"variance"``, ``"noise"``,
            ``"disagreement"``, ``"pit"``: see :class:`Mixture`; ``"entropy"``: ``total``, ``expected`` and
            ``mutual_information``; ``"metrics"``: the measures of the likelihood.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``; of
            cuts that are no ``Case``.
        batch_size: Points in one forward pass; a ``DataLoader`` has its own.

    Returns:
        A mixture; or for each cut the tensors by name, on the model's device, ``(*batch_shape, N, ...)``.

    Raises:
        TypeError: If inputs or targets have the wrong type, or the likelihood lacks a quantity.
        ValueError: If the data are empty, not finite, out of range or of different lengths, a cut is out of range,
            there is none, what is wanted is unknown, or there are no weights of a name.
    """
    if want is None:
        if isinstance(x, DataLoader) or y is not None or list(cuts) != [{}]:
            raise TypeError(
                "Expected only inputs for a Mixture, got a DataLoader, targets or cuts. Name the "
                "quantities to compute, for example want=['log_prob']."
            )
        require_weights(model, guide, weights)
        weigh, parts = weigher(model, guide), list(read_out(model, x, batch_size=batch_size, targets=False))
        dim = len(model.batch_shape)
        outputs = torch.cat([part.outputs for part in parts], 1 + dim)
        return Mixture(model, outputs, weigh(joined([part.x for part in parts], dim)), Case(weights))
    cases = _checked(model, cuts, want, weights)
    for case in cases:
        require_weights(model, guide, case.weights)
    generators = [torch.Generator().manual_seed(0) for _ in cases]
    computed: list[list[Prediction]] = [[] for _ in cases]
    batches = _mixtures(model, guide, x, y, cases, batch_size, targets=any(name in _OF_TARGETS for name in want))
    with torch.inference_mode():
        for mixtures, targets in batches:
            for mixture, generator, batches_of_cut in zip(mixtures, generators, computed, strict=True):
                batches_of_cut.append(_computed(mixture, targets, want, generator))
    dim = len(model.batch_shape)
    return [{name: torch.cat([batch[name] for batch in of_cut], dim) for name in of_cut[0]} for of_cut in computed]


def _checked(model: VDSModel, cuts: Any, want: Any, weights: Weights) -> list[Case]:
    """Return the cuts as cases; raise before anything runs if one of them, or what is wanted, cannot be."""
    if isinstance(want, str) or not set(want) <= set(get_args(Want)):
        raise ValueError(f"Expected want as a list of {', '.join(get_args(Want))}; got {want!r}.")
    found = [] if isinstance(cuts, Mapping | Tensor | Case) else list(cuts)
    if not found or not all(isinstance(cut, Mapping | Tensor | Case) for cut in found):
        raise ValueError(f"Expected cuts as a list of at least one, such as [{{}}, {{'depth': 3}}]; got {cuts!r}.")
    cases = [cut if isinstance(cut, Case) else Case(weights, cut) for cut in found]
    for case in cases:
        if isinstance(case.cut, Tensor):
            model.space.check_stops(case.cut)
        else:
            model.space.index(case.cut)
    return cases


def _mixtures(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    y: TargetsLike | None,
    cases: Sequence[Case],
    batch_size: int,
    *,
    targets: bool,
) -> Iterator[tuple[list[Mixture], Tensor | None]]:
    """Yield the mixtures of all cases and the targets of each batch."""
    weigh, start = weigher(model, guide), 0
    stops = {len(case.cut) for case in cases if isinstance(case.cut, Tensor)}
    size = None if isinstance(x, DataLoader) else points(model.as_inputs(x))
    if stops and size is not None and stops != {size}:
        raise ValueError(f"Expected a stop for each of {size} inputs, got {sorted(stops)}.")
    for batch in read_out(model, x, y, batch_size=batch_size, targets=targets):
        tables = weigh(batch.x)
        part = slice(start, start := start + points(batch.x, len(model.batch_shape)))
        if stops and min(stops) < start:
            raise ValueError(f"Expected a stop for each input, got {min(stops)} for {start} inputs or more.")
        yield [Mixture(model, batch.outputs, tables, _of_points(case, part)) for case in cases], batch.y
    if stops - {start}:
        raise ValueError(f"Expected a stop for each of {start} inputs, got {sorted(stops)}.")


def _of_points(case: Case, part: slice) -> Case:
    """Return a case for a part of the inputs."""
    return replace(case, cut=case.cut[part]) if isinstance(case.cut, Tensor) else case


def _computed(
    mixture: Mixture, y: Tensor | None, want: Sequence[Want], generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the wanted quantities of one batch, by name."""
    quantities: dict[str, Tensor] = {}
    of_targets: dict[str, Callable[[Tensor], Tensor]] = {
        "log_prob": mixture.log_prob,
        "pit": lambda targets: mixture.pit(targets, generator),
    }
    for name in want:
        if name == "entropy":
            quantities |= vars(mixture.entropy())
        elif name == "metrics" and y is not None:
            quantities |= mixture.likelihood.metrics(mixture.distribution, y)
        elif name in of_targets and y is not None:
            quantities[name] = of_targets[name](y)
        else:
            quantities[name] = getattr(mixture, name)
    return quantities

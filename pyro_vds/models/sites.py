"""The sample sites and plates of a model and its guide."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from pyro_vds.ops.compat import collects_parameters, is_enumerated
from pyro_vds.ops.store import registers_parameters
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs


def chosen(outputs: Tensor, choice: list[Tensor], points: list[Tensor]) -> Tensor:
    """Return the outputs of the chosen architecture at each point.

    If Pyro enumerates all axes, each in its own neighbouring dimension, every architecture is chosen once. A
    permutation of the axes then replaces the gather, whose backward pass is a slow scatter.
    """
    order = sorted(range(len(choice)), key=lambda axis: -choice[axis].ndim)
    enumerated = all(is_enumerated(index) for index in choice)
    innermost = [choice[axis].ndim for axis in reversed(order)] == [len(points) + 1 + i for i in range(len(choice))]
    if enumerated and innermost:
        return outputs.permute(*order, *range(len(choice), outputs.ndim))
    return Vindex(outputs)[(*choice, *points)]


def enters_store(module: nn.Module, space: Space) -> bool:
    """Enter the parameters of a model or guide into Pyro's store, if it runs under ``pyro.infer.SVI``.

    Args:
        module: The model or guide.
        space: Its space.

    Returns:
        Whether it runs under ``SVI``.

    Raises:
        RuntimeError: If axes have sites, or the store has other tensors under the names of these parameters.
    """
    # TraceEnum_ELBO takes it that nothing outside of the plate of an axis depends on its sites.
    if collects_parameters() and space.with_sites:
        raise RuntimeError(
            f"Expected axes without sites for pyro.infer.SVI, got {list(space.with_sites)}: the gradient of "
            "TraceEnum_ELBO would be wrong. Train with pyro_vds.fit, or with pyro_vds.elbo and a torch optimiser."
        )
    return registers_parameters(module)


@contextmanager
def batch_plates(batch_shape: torch.Size) -> Iterator[list[Tensor]]:
    """Open the plate of replicates, to the left of the data.

    Args:
        batch_shape: ``(n,)``, or empty without replicates.

    Yields:
        A list with the numbers of the replicates; an empty list without replicates.
    """
    with ExitStack() as plates:
        entered = (plates.enter_context(pyro.plate("replicate", size, dim=-2)) for size in batch_shape)
        yield [cast(Tensor, members) for members in entered]


def draw_sites(axis: Axis, choices: TorchDistributionMixin) -> Tensor:
    """Draw an entry at each site of an axis; independent ones in the plate of the axis.

    Args:
        axis: The axis.
        choices: The distribution of the entries ``(sites,)``.

    Returns:
        Entries ``(sites,)``, or ``(row, sites)`` in an outer plate of architectures.
    """
    if isinstance(choices, dist.Independent):
        assert axis.plate is not None
        with pyro.plate(axis.plate.name, axis.sites, dim=-1):
            return cast(Tensor, pyro.sample(axis.name, choices.base_dist))
    drawn = cast(Tensor, pyro.sample(axis.name, choices))
    return drawn.flatten(0, -2) if drawn.ndim > 1 else drawn


def run_given(
    backbone: Any, space: Space, given: Mapping[str, Tensor], whole: Mapping[str, Tensor], x: Inputs
) -> Tensor:
    """Run the architectures that draws of the axes with sites give.

    Args:
        backbone: The network.
        space: Its space.
        given: Entries of each axis with sites, ``(sites,)`` or ``(row, sites)``.
        whole: The entries of all architectures; if these very tensors are given, the table comes from one pass.
        x: Inputs.

    Returns:
        Outputs ``(*read_out, batch, *event)``, or ``(*read_out, row, batch, *event)``.
    """
    read_out = len(space.read_out)
    if all(given[name] is whole.get(name) for name in given):
        order = sorted(range(len(space)), key=lambda place: list(space.values())[place].has_sites)
        outputs = backbone(x)
        return outputs.permute(*order, *range(len(space), outputs.ndim)).flatten(read_out, len(space) - 1)
    rows = {name: entries.reshape(-1, entries.shape[-1]) for name, entries in given.items()}
    outputs = backbone.at(x, rows).movedim(0, read_out)
    return outputs if any(entries.ndim > 1 for entries in given.values()) else outputs.squeeze(read_out)

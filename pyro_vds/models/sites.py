"""The sample sites and plates of a model and its guide."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import pyro
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor

from pyro_vds.ops.compat import collects_parameters, is_enumerated


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


def require_no_svi() -> None:
    """Raise if Pyro collects parameters from its global store, which holds none of a model's."""
    if collects_parameters():
        raise RuntimeError(
            "Expected training with pyro_vds.fit or pyro_vds.enum_elbo and a torch optimiser, got pyro.infer.SVI: "
            "it finds parameters through Pyro's global store, which does not hold these, and would train nothing."
        )


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

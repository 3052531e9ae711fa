"""A network written to a file that other programs run."""

from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor, nn


def export(network: nn.Module, example: Shaped[Tensor, "batch ..."], path: Path) -> None:
    """Write a network as a ``torch.export`` program (``.pt2``) or an ONNX model (``.onnx``), for batches of any size.

    Args:
        network: The network, such as :func:`pyro_vds.prune` returns.
        example: At least two inputs of the shape and the dtype that it takes.
        path: The file; its suffix says the format.

    Raises:
        ImportError: If the packages for ONNX are not installed.
        ValueError: If the suffix is another one.
    """
    if path.suffix == ".pt2":
        dynamic = ({0: torch.export.Dim.AUTO},)
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), path)
    elif path.suffix == ".onnx":
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    else:
        raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {path.name}.")

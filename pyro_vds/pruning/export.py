"""Export of a network to a file that other programs can run."""

from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor, nn


def export(network: nn.Module, example: Shaped[Tensor, "batch ..."], path: Path) -> None:
    """Write a network as a ``torch.export`` program (``.pt2``) or an ONNX model (``.onnx``), for batches of any size.

    Args:
        network: The network, for example from :func:`pyro_vds.prune`.
        example: At least two inputs of the right shape and dtype.
        path: The file; its suffix determines the format.

    Raises:
        ImportError: If the packages for ONNX are not installed.
        ValueError: If the suffix is neither ``.pt2`` nor ``.onnx``.
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

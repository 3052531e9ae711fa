"""Export of a network to a file that other programs can run."""

from pathlib import Path

import torch
from torch import nn

from pyro_vds.ops.inputs import mapped
from pyro_vds.spaces.typing import Inputs


def export(network: nn.Module, example: Inputs, path: Path) -> None:
    """Write a network as a ``torch.export`` program (``.pt2``) or an ONNX model (``.onnx``), for batches of any size.

    Args:
        network: The network, for example from :func:`pyro_vds.prune`.
        example: At least two inputs of the right shape and dtype; several as a tuple or a dict.
        path: The file; its suffix determines the format.

    Raises:
        ImportError: If the packages for ONNX are not installed.
        ValueError: If the suffix is neither ``.pt2`` nor ``.onnx``.
    """
    if path.suffix == ".pt2":
        dynamic = (mapped(lambda _: {0: torch.export.Dim.AUTO}, example),)
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), path)
    elif path.suffix == ".onnx":
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=(mapped(lambda _: {0: batch}, example),),
        )
    else:
        raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {path.name}.")

"""Export of a network to a file that other programs can run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

METADATA = "pyro_vds.json"
"""Under this name a file has its metadata: among the extra files of a ``.pt2``, and as a metadata property of ONNX."""


def export(
    network: nn.Module, example: Shaped[Tensor, "batch ..."], path: Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a network as a ``torch.export`` program (``.pt2``) or an ONNX model (``.onnx``), for batches of any size.

    Programs read the metadata without this package::

        files = {"pyro_vds.json": ""}
        program = torch.export.load("small.pt2", extra_files=files).module()
        metadata = json.loads(files["pyro_vds.json"])

        session = onnxruntime.InferenceSession("small.onnx")
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["pyro_vds.json"])

    Args:
        network: The network, for example from :func:`pyro_vds.prune`.
        example: At least one input of the right shape and dtype.
        path: The file; its suffix determines the format.
        metadata: What the file says about itself, such as the normalisation of its inputs; written as JSON.

    Raises:
        ImportError: If the packages for ONNX are not installed.
        ValueError: If the suffix is neither ``.pt2`` nor ``.onnx``.
    """
    text = json.dumps(dict(metadata or {}))
    # Of a single example, torch.export would take the size for a constant.
    two = torch.cat([example, example])[:2]
    if path.suffix == ".pt2":
        program = torch.export.export(network, (two,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
        torch.export.save(program, path, extra_files={METADATA: text})
    elif path.suffix == ".onnx":
        shapes = ({0: torch.export.Dim("batch")},)
        made = torch.onnx.export(network, (two,), dynamo=True, verbose=False, dynamic_shapes=shapes)
        assert made is not None
        made.model.metadata_props[METADATA] = text
        made.save(path, external_data=False)
    else:
        raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {path.name}.")

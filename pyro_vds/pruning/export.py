"""Export of a network to a file that other programs can run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyro_vds.ops.inputs import first_points, joined, mapped
from pyro_vds.spaces.typing import Inputs

METADATA = "pyro_vds.json"
"""Under this name a file has its metadata: among the extra files of a ``.pt2``, and as a metadata property of ONNX."""


def export(network: nn.Module, example: Inputs, path: Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network as a ``torch.export`` program (``.pt2``) or an ONNX model (``.onnx``), for batches of any size.

    Programs read the metadata without this package::

        files = {"pyro_vds.json": ""}
        program = torch.export.load("small.pt2", extra_files=files).module()
        metadata = json.loads(files["pyro_vds.json"])

        session = onnxruntime.InferenceSession("small.onnx")
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["pyro_vds.json"])

    Args:
        network: The network, for example from :func:`pyro_vds.prune`.
        example: At least one input of the right shape and dtype; several as a tuple or a dict.
        path: The file; its suffix determines the format.
        metadata: What the file says about itself, such as the normalisation of its inputs; written as JSON.

    Raises:
        ImportError: If the packages for ONNX are not installed.
        ValueError: If the suffix is neither ``.pt2`` nor ``.onnx``.
    """
    text = json.dumps(dict(metadata or {}))
    # Of a single example, torch.export would take the size for a constant.
    two = first_points(joined([example, example]), 2)
    if path.suffix == ".pt2":
        shapes = (mapped(lambda _: {0: torch.export.Dim.AUTO}, two),)
        program = torch.export.export(network, (two,), dynamic_shapes=shapes)
        torch.export.save(program, path, extra_files={METADATA: text})
    elif path.suffix == ".onnx":
        batch = torch.export.Dim("batch")
        shapes = (mapped(lambda _: {0: batch}, two),)
        made = torch.onnx.export(network, (two,), dynamo=True, verbose=False, dynamic_shapes=shapes)
        assert made is not None
        made.model.metadata_props[METADATA] = text
        made.save(path, external_data=False)
    else:
        raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {path.name}.")

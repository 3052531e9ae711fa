"""Exported networks have the numbers of the network, for batches of any size, also where pyro_vds is not installed."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import pyro_vds as vds
from pyro_vds.pruning.export import export


@pytest.fixture
def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).float().eval()


@pytest.mark.parametrize("size", [1, 2, 7])
def test_program_has_the_numbers_of_the_network(network, tmp_path, size):
    export(network, torch.zeros(2, 3, dtype=torch.float32), tmp_path / "network.pt2")
    x = torch.randn(size, 3, dtype=torch.float32)
    torch.testing.assert_close(torch.export.load(tmp_path / "network.pt2").module()(x), network(x))


def test_onnx_has_the_numbers_of_the_network(network, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    export(network, torch.zeros(2, 3, dtype=torch.float32), tmp_path / "network.onnx")
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    for size in (1, 7):
        x = torch.randn(size, 3, dtype=torch.float32)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), network(x))


WITHOUT_THE_PACKAGE = """
import json, sys
import numpy as np
sys.modules["pyro_vds"] = sys.modules["pyro"] = None  # an import of either raises
folder = sys.argv[1]
x, expected = np.load(folder + "/x.npy"), np.load(folder + "/expected.npy")
if sys.argv[2] == "pt2":
    import torch
    files = {"pyro_vds.json": ""}
    program = torch.export.load(folder + "/small.pt2", extra_files=files).module()
    found, text = program(torch.from_numpy(x)).detach().numpy(), files["pyro_vds.json"]
else:
    import onnxruntime
    session = onnxruntime.InferenceSession(folder + "/small.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    text = session.get_modelmeta().custom_metadata_map["pyro_vds.json"]
metadata = json.loads(text)
x = (x * metadata["std"] + metadata["mean"]).mean()
np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
print(json.dumps(metadata))
"""


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
@pytest.mark.usefixtures("float32")
def test_files_from_one_example_run_without_the_package(kind, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualConvNet(1, 3, max_depth=2, channels=4, bottleneck=2), num_data=9)
    x = torch.randn(9, 1, 8, 8)
    with torch.no_grad():
        model.backbone(x)
    guide = vds.AutoCategorical(model)
    small = vds.prune(model, guide, depth=1, fold_batch_norm=True)
    metadata = {"mean": [0.5], "std": [2.0], "classes": ["ant", "bee", "cat"]}
    export(small, x[:1], tmp_path / f"small.{kind}", metadata=metadata)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "expected.npy", vds.predict_proba(model, guide, x, depth=1).log())
    command = [sys.executable, "-c", WITHOUT_THE_PACKAGE, str(tmp_path), kind]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(ran.stdout) == metadata


@pytest.mark.parametrize(
    ("likelihood", "outputs"),
    [
        (vds.likelihoods.Classification(), 3),
        (vds.likelihoods.Gaussian(0.5), 1),
        (vds.likelihoods.Gaussian(learn_scale=True), 2),
    ],
)
def test_one_example_fixes_no_size_of_the_batch(likelihood, outputs):
    """As ``torch.onnx.export`` exports, which allows for a batch of one."""
    model = vds.VDSModel(vds.ResidualMLP(2, outputs, 4, 2), likelihood=likelihood, num_data=5)
    small = vds.prune(model, vds.AutoCategorical(model), depth=1)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(small, (torch.randn(1, 2),), dynamic_shapes=shapes).module()
    for x in (torch.randn(1, 2), torch.randn(7, 2)):
        torch.testing.assert_close(program(x), small(x))


def test_another_suffix_is_refused_before_anything_is_written(network, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a file that ends in \.pt2 or \.onnx, got network\.pth"):
        export(network, torch.zeros(2, 3, dtype=torch.float32), tmp_path / "network.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("regression", [False, True])
def test_pruned_replicates_are_exported(regression):
    likelihood = vds.likelihoods.Gaussian(learn_scale=True) if regression else vds.likelihoods.Classification()
    net = vds.Replicated(vds.WithWidths(vds.ResidualMLP(2, 1 if regression else 3, 4, 2), (2, 4)), 3)
    model = vds.VDSModel(net, likelihood=likelihood, num_data=5)
    small = vds.prune(model, vds.AutoCategorical(model), depth=1)
    dynamic = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(small, (torch.randn(3, 2),), dynamic_shapes=dynamic).module()
    x = torch.randn(7, 2)
    torch.testing.assert_close(program(x), small(x))

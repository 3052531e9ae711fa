"""Exported networks have the numbers of the network, for batches of any size."""

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

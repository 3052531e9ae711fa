"""The choice of a depth, and the pruned network as a plain module, exported and run elsewhere."""

import subprocess
import sys
import threading

import numpy as np
import pyro
import pytest
import torch

import pyro_vds as vds


def conv_problem(likelihood=None, outputs=4):
    torch.manual_seed(0)
    net = vds.ResidualConvNet(1, outputs, max_depth=3, channels=6, bottleneck=3)
    model = vds.VDSModel(net, likelihood=likelihood, num_data=16)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["depth"])
    x = torch.randn(16, 1, 10, 10)
    net(x)
    return model, guide, x


@pytest.mark.parametrize(
    ("probs", "rule", "depth"),
    [
        ([0.1, 0.39, 0.4, 0.11], "95", 1),
        ([0.1, 0.37, 0.4, 0.13], "95", 2),
        ([0.1, 0.39, 0.4, 0.11], "argmax", 2),
        ([0.0, 0.5, 0.0, 0.5], "expected", 2),
        ([1.0], "95", 0),
    ],
)
def test_rules_choose_the_depth_by_their_formula(probs, rule, depth):
    assert vds.choose_depth(torch.tensor(probs), rule=rule) == depth


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda probs: np.array(probs, dtype=np.float32)])
@pytest.mark.parametrize(("rule", "depth"), [("95", 1), ("argmax", 2), ("expected", 2)])
def test_lists_and_arrays_are_taken_as_well(kind, rule, depth):
    assert vds.choose_depth(kind([0.1, 0.39, 0.4, 0.11]), rule=rule) == depth


@pytest.mark.parametrize("probs", ["abc", None, [0.5, "a"], [[1.0], [0.5, 0.5]]])
def test_what_is_not_numbers_is_refused(as_a_user, probs):
    with pytest.raises(TypeError, match=f"Expected a vector of depth probabilities, .* got {type(probs).__name__}: "):
        vds.choose_depth(probs)


def test_default_rule_is_the_papers():
    assert vds.choose_depth(torch.tensor([0.1, 0.39, 0.4, 0.11])) == 1


@pytest.mark.parametrize(
    ("probs", "rule", "message"),
    [
        ([0.5, 0.5], "best", "Expected a rule of '95', 'argmax', 'expected', got 'best'"),
        ([0.5, 0.2], "95", r"sum to one, got shape \(2,\) with sum 0.7"),
        ([1.5, -0.5], "95", "Expected a vector of depth probabilities"),
        ([[0.5, 0.5]], "95", r"got shape \(1, 2\)"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_bad_choices_are_refused(probs, rule, message):
    with pytest.raises(ValueError, match=message):
        vds.choose_depth(torch.tensor(probs), rule=rule)


@pytest.mark.parametrize("depth", [0, 2, 3])
def test_pruned_network_has_the_library_s_numbers(depth):
    model, guide, x = conv_problem()
    small = vds.prune(model, guide, depth=depth)
    torch.testing.assert_close(small(x).exp(), vds.predict_proba(model, guide, x, depth=depth))
    assert len(small.backbone.blocks) == depth
    assert not small.training


def test_pruned_regression_gives_mean_and_variance():
    model, guide, x = conv_problem(vds.likelihoods.Gaussian(0.5), outputs=1)
    small = vds.prune(model, guide, depth=1)
    for one, other in zip(small(x), vds.predict_moments(model, guide, x, depth=1), strict=True):
        torch.testing.assert_close(one, other)


def test_pruned_network_is_independent_and_free_of_pyro():
    model, guide, x = conv_problem()
    small = vds.prune(model, guide, depth=1)
    before = small(x)
    with torch.no_grad():
        for parameter in [*model.parameters(), *guide.parameters()]:
            parameter.add_(1)
    torch.testing.assert_close(small(x), before)
    assert not any(type(m).__module__.startswith("pyro.") for m in small.modules())


@pytest.mark.filterwarnings("default")  # torch's own exporter warns
def test_torch_export_accepts_it_for_any_batch():
    model, guide, x = conv_problem()
    small = vds.prune(model, guide, depth=2)
    program = torch.export.export(small, (x[:2],), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.testing.assert_close(program.module()(x), small(x))


@pytest.mark.filterwarnings("default")
def test_onnx_runtime_gives_the_same_numbers(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, guide, x = conv_problem()
    small, x = vds.prune(model, guide, depth=2).float(), x.float()
    path = tmp_path / "pruned.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(small, (x[:2],), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = onnxruntime.InferenceSession(path)
    (log_probs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(log_probs), small(x), rtol=1e-4, atol=1e-5)


def test_a_pruned_network_compiles():
    code = """
import torch
import pyro_vds as vds
model = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 2), num_data=5)
small, x = vds.prune(model, vds.AutoCategorical(model), depth=1), torch.randn(5, 2)
torch.testing.assert_close(torch.compile(small, backend="eager", fullgraph=True)(x), small(x))
"""  # without the wrappers of the import hook, which the compiler cannot follow
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pruned_network_leaves_the_checks_of_pyro_on_under_threads():
    model, guide, x = conv_problem()
    small = vds.prune(model, guide, depth=1)
    before = pyro.settings.get()
    threads = [threading.Thread(target=lambda: [small(x[:2]) for _ in range(30)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pyro.settings.get() == before

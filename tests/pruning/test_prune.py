"""The choice of a depth, and the pruned network as a plain module, exported and run elsewhere."""

import subprocess
import sys
import threading

import numpy as np
import oracles
import pyro
import pytest
import torch

import pyro_vds as vds
from pyro_vds.pruning.export import export


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


@pytest.mark.parametrize("weights", ["posterior", "uniform", "stacked"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_pruned_network_says_how_much_its_depths_disagree(depth, weights):
    """Also where the posterior has a single depth left, which agrees with itself."""
    model, guide, x, y = oracles.problem(3)
    guide.set_probs({"depth": torch.tensor([0.0, 0.0, 0.0, 1.0])})
    guide.keep_weights("stacked", vds.stacked_weights(model, (x, y)))
    small = vds.prune(model, guide, weights=weights, disagreement=True, depth=depth)
    expected = oracles.disagreement(oracles.outputs(model.backbone.eval(), x), depth).detach()
    torch.testing.assert_close(small.disagreement(x).detach(), expected)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x, depth=depth), expected)
    probs = vds.predict_proba(model, guide, x, weights=weights, depth=depth)
    torch.testing.assert_close(small(x).exp(), probs)
    assert sum(p.numel() for p in small.parameters()) == sum(
        p.numel() for p in vds.prune(model, guide, depth=depth).parameters()
    )


def test_prediction_and_disagreement_come_from_one_pass(monkeypatch):
    model, guide, x = conv_problem()
    small = vds.prune(model, guide, disagreement=True, depth=2)
    expected = small(x), small.disagreement(x)
    passes, forward = [], type(small.backbone).forward
    monkeypatch.setattr(type(small.backbone), "forward", lambda self, x: passes.append(len(x)) or forward(self, x))
    for found, one in zip(small.with_disagreement(x), expected, strict=True):
        torch.testing.assert_close(found, one)
    assert passes == [len(x)]


@pytest.mark.parametrize("targets", [1, 3])
def test_disagreement_about_numbers_is_the_variance_of_the_means(targets):
    model, guide, x = conv_problem(vds.likelihoods.Gaussian(0.5), outputs=targets)
    small = vds.prune(model, guide, disagreement=True, depth=2)
    means = model.eval().outputs(x).detach()[:3]
    torch.testing.assert_close(small.disagreement(x).detach(), means.var(0, correction=0).mean(-1))
    for found, one in zip(small.with_disagreement(x)[0], small(x), strict=True):
        torch.testing.assert_close(found, one)


def test_widths_and_replicates_disagree_as_they_do_uncut():
    x = torch.randn(7, 2)
    model = vds.VDSModel(vds.Replicated(vds.WithWidths(vds.ResidualMLP(2, 3, 4, 2), (2, 4)), 2), num_data=7)
    guide = vds.AutoCategorical(model)
    for cut, kept in (({"depth": 1}, (2, 2)), ({"depth": 1, "width": 2}, (2,)), ({"width": 4}, (3,))):
        found = vds.prune(model, guide, disagreement=True, **cut).disagreement(x)
        for r, (one, _) in enumerate(vds.replicates(model, guide)):
            outputs = one.backbone.eval()(x).detach()
            outputs = outputs[: kept[0]] if "depth" in cut else outputs
            outputs = outputs[:, (2, 4).index(cut["width"])] if "width" in cut else outputs
            assert outputs.shape[:-2] == kept
            expected = oracles.disagreement(outputs.reshape(-1, 7, 3))
            torch.testing.assert_close(found[r].detach(), expected)


def test_it_is_refused_where_nothing_that_is_left_could_disagree(as_a_user):
    model, guide, x = conv_problem()
    with pytest.raises(
        ValueError, match="Expected a network that keeps what its disagreement needs.*disagreement=True"
    ):
        vds.prune(model, guide, depth=1).disagreement(x)


def test_states_fit_networks_with_and_without_disagreement():
    model, guide, x = conv_problem()
    plain, other = vds.prune(model, guide, depth=1), vds.prune(model, guide, disagreement=True, depth=1)
    expected = other.disagreement(x)
    other.load_state_dict(plain.state_dict())
    plain.load_state_dict(other.state_dict())
    torch.testing.assert_close(other.disagreement(x), expected)
    assert other.float().disagreement(x.float()).dtype == torch.float32


@pytest.mark.filterwarnings("default")
def test_an_exported_network_has_the_prediction_only(tmp_path):
    model, guide, x = conv_problem()
    small, x = vds.prune(model, guide, disagreement=True, depth=2).float(), x.float()
    export(small, x[:2], tmp_path / "small.pt2")
    torch.testing.assert_close(torch.export.load(tmp_path / "small.pt2").module()(x), small(x))
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    export(small, x[:2], tmp_path / "small.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    (log_probs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(log_probs), small(x), rtol=1e-4, atol=1e-5)

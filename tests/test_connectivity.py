"""Connectivity: networks are trained as their names say, verdicts follow from numbers, the tiny form has all parts."""

from functools import partial
from typing import get_args

import arviz as az
import numpy as np
import pytest
import torch
import xarray as xr

import pyro_vds as vds
from benchmarks.graphs import graphs
from experiments import connectivity
from experiments.claims import connectivity as rules, connectivity_tables as tables
from experiments.engine.connected import GATES_LR, Method, cut, scores, train
from experiments.engine.gated import Network, SoftGates, connected_at_random, start_logits
from experiments.figures.connectivity import figure_connectivity
from pyro_vds import sweeps
from pyro_vds.sweeps import Resources

CPU = Resources(torch.device("cpu"))


def dense(layers=2):
    torch.manual_seed(0)
    return vds.connectivity((5,), 3, layers=layers, channels=4)


def points(count=40):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 5, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def test_soft_gates_that_are_open_or_closed_are_a_subgraph():
    graph, (x, _) = dense(), points()
    opened = (True, False, True, True, False, True)
    w = torch.tensor([1.0 if gate else 0.0 for gate in opened])
    expected = graph.restrict(gate=opened)(x)
    torch.testing.assert_close(SoftGates(graph, w, squash=False)(x), expected)
    torch.testing.assert_close(SoftGates(graph, 200 * (w - 0.5), squash=True)(x), expected)


@pytest.mark.parametrize("method", get_args(Method))
def test_gates_move_at_their_own_rate_from_their_start(method):
    """Adam's first step has the size of the learning rate; a guide's record is that before the last step."""
    guided = method.startswith(("exact", "rloo"))
    how = {"price": 1.0, "start": 0.5, "seed": 0, "lr": 0.01, "max_epochs": 1, "batch_size": 20 if guided else 40}
    found = train(dense(), method, points(), **how)
    start = torch.tensor(0.5).sigmoid().item() if method == "linear" else 0.5
    after = found.gates[0] if method == "linear" else np.log(found.gates[0] / (1 - found.gates[0]))
    rate = GATES_LR / 2 if method.endswith("_slow") else GATES_LR
    np.testing.assert_allclose(np.abs(after - start), rate, rtol=1e-3)
    assert found.gates.shape == (1, 6)
    assert len(found.log_prob) == 1
    assert (found.soft is None) == guided


def test_a_guide_that_waits_keeps_its_start():
    how = {"price": 5.0, "start": 1.0, "seed": 0, "lr": 0.01, "max_epochs": 3, "batch_size": 20}
    found = train(dense(), "rloo", points(), guide_from=2, **how)
    np.testing.assert_allclose(found.gates[:2], torch.tensor(1.0).sigmoid(), rtol=1e-6)
    assert np.abs(found.gates[2] - found.gates[1]).min() > 0


def test_methods_are_known_by_name():
    with pytest.raises(ValueError, match="Expected a method of exact, rloo, sigmoid, .*, got 'arm'"):
        train(dense(), "arm", points(), price=1.0, seed=0, lr=0.01)


def test_starts_are_those_of_the_blog():
    edges = dense().edges
    assert start_logits(-2.0, edges, seed=0).tolist() == [-2.0] * 6
    assert start_logits("chain", edges, seed=0).tolist() == [1.0, 0.5, 1.0, 0.5, 0.5, 1.0]
    draws = torch.cat([start_logits("normal", edges, seed=seed) for seed in range(200)])
    assert (draws.mean().item(), draws.std().item()) == pytest.approx((0.5, 1.0), abs=0.1)


def test_what_is_kept_is_what_prune_returns():
    model = vds.VDSModel(dense(), priors=vds.priors.Price(1.0), num_data=40)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["gate"])
    x, y = points()
    expected = vds.prune(model, guide, **guide.mode())(x).gather(1, y[:, None]).mean()
    found = scores(vds.VDSModel(Network(cut(model, guide)), num_data=40), None, (x, y))
    assert found["log_likelihood"] == pytest.approx(expected.item(), rel=1e-5)


def test_random_graphs_are_connected_and_have_their_size():
    edges, rng = dense(3).edges, np.random.default_rng(0)
    drawn = [connected_at_random(edges, size, rng) for size in (1, 2, 5, 10) for _ in range(20)]
    assert [sum(opened) for opened in drawn] == [size for size in (1, 2, 5, 10) for _ in range(20)]
    assert {opened for opened in drawn if sum(opened) == 1} == {tuple(edge == (0, 4) for edge in edges)}
    for opened in drawn:
        network = dense(3).restrict(gate=opened)
        assert {0, 4} <= {node for edge in network.edges for node in edge}


def test_r_hat_is_that_of_arviz_with_many_draws():
    rng, probs = np.random.default_rng(0), [[0.5, 0.9], [0.6, 0.1], [0.4, 0.5]]
    draws = (rng.random((3, 20000, 2)) < np.array(probs)[:, None]).astype(float)
    posterior = xr.Dataset({"gate": (("chain", "draw", "edge"), draws)})
    expected = az.rhat(posterior, method="identity")["gate"].to_numpy()
    found = rules.r_hat([{"probs": p} for p in probs])
    np.testing.assert_allclose(found, expected, rtol=0.01)
    assert rules.r_hat([{"probs": [1.0]}, {"probs": [1.0]}]).tolist() == [1.0]
    assert rules.r_hat([{"probs": [1.0]}, {"probs": [0.0]}]).tolist() == [np.inf]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The results of the tiny form, which needs no file."""
    folder = tmp_path_factory.mktemp("results") / "connectivity"
    list(sweeps.run(connectivity.SCAN.tiny, connectivity.SCAN.measure, folder, CPU))
    return sweeps.results(connectivity.SCAN.tiny, folder)


def test_parts_of_a_result_agree_with_each_other(tiny):
    assert {run["settings"]["part"] for run in tiny} == {"gates", "start", "retrain", "merges", "images"}
    for run in tiny:
        probs = np.array(run["probs"])
        assert len(probs) == len(run["edges"]) == len(run["gates"][0]) == 6
        assert run["gap"] == pytest.approx(run["evidence"] - run["elbo"], abs=0.01)
        assert run["gap"] > -1e-6
        assert run["open"] == (probs > 0.5).sum()
        assert ("soft" in run) == run["settings"]["method"].startswith(("sigmoid", "linear"))
        assert len(run["log_prob"]) == 2
    for run in rules.of(tiny, "retrain"):
        assert len(run["alone"]) == len(run["all"]) == 2
        assert len(run["random"]) == (2 if sum(run["kept"]) else 0)
    (sigmoid,) = rules.of(tiny, "retrain", method="sigmoid")
    assert sum(sigmoid["kept"]) == 3


def test_the_tiny_form_is_judged_and_shown(tiny):
    for _, judge in rules.CLAIMS:
        text, verdict = judge(tiny)
        assert verdict in ("holds", "holds in part", "does not hold", "not judged")
        assert "nan" not in text
    assert len(tables.claims_table(tiny).splitlines()) == 2 + len(rules.CLAIMS)
    assert len(tables.gates_table(tiny).splitlines()) == 2 + 9
    assert len(tables.starts_table(tiny).splitlines()) == 2 + 4
    assert len(tables.retrain_table(tiny).splitlines()) == 2 + 4
    assert len(tables.merges_table(tiny).splitlines()) == 2 + 10
    assert len(tables.images_table(tiny).splitlines()) == 2 + 4
    for make in (
        tables.gates_table,
        tables.starts_table,
        tables.retrain_table,
        tables.merges_table,
        tables.images_table,
    ):
        assert len({line.count("|") for line in make(tiny).splitlines()}) == 1


def test_the_figure_has_a_line_for_each_edge(tiny):
    axes = figure_connectivity(tiny)
    assert [len(ax.lines) for ax in axes] == [6] * 4
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)
    assert figure_connectivity(tiny, axes) == axes
    with pytest.raises(ValueError, match="Expected results of connectivity, got none"):
        figure_connectivity([])


def run(part, method="sigmoid", seed=0, error=0.1, log_likelihood=-0.5, **more):
    """A result with the given scores everywhere."""
    names = ("price", "start", "merge", "guide_from")
    settings = {name: more.pop(name) for name in names if name in more}
    scored = {"error": error, "log_likelihood": log_likelihood}
    content = {"settings": {"part": part, "method": method, "seed": seed} | settings}
    return content | {"mixture": scored, "soft": scored, "probs": [0.5, 0.6], "open": 1, "decided": 0.0} | more


@pytest.mark.parametrize(
    ("shares", "verdict"), [((0.5, 1.0), "holds"), ((0.0, 0.5), "holds in part"), ((0.0, 0.4), "does not hold")]
)
def test_weights_are_biased_if_half_of_them_are_decided(shares, verdict):
    digits, images = shares
    found = [run("gates", price=20.0, decided=digits), run("images", start=0.0, decided=images)]
    found.append(run("gates", "sigmoid_slow", price=20.0, decided=0.25))
    text, judged = rules.sigmoid_decides(found)
    assert judged == verdict
    assert "half the rate 25 %" in text


@pytest.mark.parametrize(
    ("weights", "verdict"), [((0.05, 0.0), "holds"), ((0.05, 0.99), "holds in part"), ((0.2, 0.99), "does not hold")]
)
def test_weights_prune_if_one_of_them_is_near_zero(weights, verdict):
    digits, images = ([weight, 0.99] for weight in weights)
    found = [run("gates", price=20.0, probs=digits), run("images", start=0.0, probs=images)]
    assert rules.sigmoid_prunes(found)[1] == verdict


@pytest.mark.parametrize(
    ("probs", "verdict"),
    [
        ([[0.1, 0.5, 0.9]] * 2, "holds"),
        ([[0.1, 0.5, 0.9], [0.1, 0.9, 0.9]], "holds in part"),
        ([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]], "does not hold"),
        ([[0.5, 0.5, 0.5]] * 2, "does not hold"),
    ],
)
def test_patterns_are_the_same_if_they_correlate(probs, verdict):
    found = [run("gates", "exact", seed, price=20.0, probs=p) for seed, p in enumerate(probs)]
    assert rules.same_pattern(found, "exact")[1] == verdict


@pytest.mark.parametrize(
    ("error", "weight", "verdict"),
    [(0.105, 0.65, "holds"), (0.105, 0.9, "holds in part"), (0.2, 0.55, "does not hold")],
)
def test_starts_are_compared_by_error_and_weight(error, weight, verdict):
    others = [run("start", start=start, error=error, probs=[weight] * 2) for start in (0.5, 1.0)]
    images = [run("images", start=start) for start in rules.BLOG_STARTS]
    assert rules.start_does_not_matter([run("gates", price=20.0, start=0.0), *others, *images])[1] == verdict


@pytest.mark.parametrize(("loss", "verdict"), [(1.5, "holds"), (1.1, "holds in part"), (0.9, "does not hold")])
def test_slow_is_a_larger_training_loss(loss, verdict):
    cases = (("sigmoid", 1.0), ("linear", loss))
    found = [run("gates", method, price=0.0, log_prob=[-value, -0.1, -0.1]) for method, value in cases]
    assert rules.sigmoid_learns_faster(found)[1] == verdict


@pytest.mark.parametrize(
    ("gains", "verdict"), [((1, 1), "holds"), ((-1, 2), "holds in part"), ((-1, 1), "does not hold")]
)
def test_merges_are_compared_by_seeds(gains, verdict):
    found = [
        run("merges", "rloo", seed, log_likelihood=-5.0 + (gain if merge == "max" else 0), merge=merge, guide_from=20)
        for merge in tables.MERGES
        for seed, gain in enumerate(gains)
    ]
    assert rules.max_beats_sum(found)[1] == verdict


@pytest.mark.parametrize(
    ("alone", "kept", "verdict"),
    [
        (-0.1, 1, "holds"),
        (-0.25, 1, "holds in part"),
        (-0.35, 1, "does not hold"),
        (-0.1, 2, "not judged"),
        (-0.1, 0, "not judged"),
    ],
)
def test_what_is_kept_is_compared_with_all_cut_and_random(alone, kept, verdict):
    values = {"alone": alone, "all": -0.2, "cut": -0.3, "random": -0.4}
    parts = {name: [{"log_likelihood": value, "error": 0.1}] for name, value in values.items()}
    found = [run("retrain", kept=[i < kept for i in range(2)], **parts)]
    assert rules.alone_is_better(found, ("sigmoid",))[1] == verdict


@pytest.mark.parametrize(
    ("gains", "verdict"), [((50, 60), "holds"), ((10, 90), "holds in part"), ((10, 20), "does not hold")]
)
def test_bounds_are_compared_by_seeds(gains, verdict):
    found = [
        run("gates", method, price=price, elbo=-100.0 + (gain if method == "exact" else 0))
        for price, gain in zip((0.0, 20.0), gains, strict=True)
        for method in ("exact", "rloo")
    ]
    found += [run("gates", method, price=20.0, elbo=-200.0) for method in ("exact_slow", "rloo_slow")]
    assert rules.exact_is_tighter(found)[1] == verdict


def test_a_guide_that_moves_early_is_compared_for_each_merge():
    def found(*collapsed):
        merges = zip(tables.MERGES, collapsed, strict=True)
        early = partial(run, "merges", "rloo", guide_from=0)
        free = [early(merge=merge, open=1 if bad else 8, error=0.9 if bad else 0.1) for merge, bad in merges]
        return free + [run("merges", "rloo", guide_from=20, merge=merge, open=8) for merge in tables.MERGES]

    assert rules.early_price_closes(found(*[True] * 4))[1] == "holds"
    assert rules.early_price_closes(found(True, *[False] * 3))[1] == "holds in part"
    assert rules.early_price_closes(found(*[False] * 4))[1] == "does not hold"


def test_the_benchmark_compares_with_one_network():
    found = graphs(torch.device("cpu"), tiny=True)
    assert [next(iter(comparison.values)) for comparison in found] == ["all edges open, plain torch"] * 2 + ["one cell"]
    assert [len(comparison.ratios) for comparison in found] == [5, 5, 2]

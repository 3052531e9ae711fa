"""A supernet that is trained: searches take their steps, cells are trained alone, verdicts follow from the numbers."""

import pytest
import torch

import pyro_vds as vds
from experiments import supernet
from experiments.claims import supernet as rules
from experiments.engine.supernet import SEARCHES, build, divergence, shared_log_likelihood, steps, train_alone
from pyro_vds import sweeps
from pyro_vds.sweeps import Resources

CPU = Resources(torch.device("cpu"))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 4, 4, generator=generator), torch.randint(3, (6,), generator=generator)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_moves_weights_and_guide(data, name):
    search = SEARCHES[name]
    model, guide = build(search, data, 2, 3, seed=0)
    before = [p.detach().clone() for p in (*model.backbone.parameters(), *guide.parameters())]
    assert list(steps(search, model, guide, data, epochs=2, batch_size=4, lr=1e-2)) == [1, 2, 3, 4]
    after = [*model.backbone.parameters(), *guide.parameters()]
    moved = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    weights = len(list(model.backbone.parameters()))
    assert any(moved[:weights])
    assert any(moved[weights:]) == (search.guide_lr > 0)


def test_shared_weights_are_those_of_the_table(data):
    model, _ = build(SEARCHES["DARTS"], data, 2, 3, seed=0)
    cells = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 4, 4, 4, 4, 4]])
    rows = (cells * 5 ** torch.arange(5, -1, -1)).sum(-1)
    with torch.no_grad():
        outputs = model.outputs(data[0])[rows]
    expected = -torch.nn.functional.cross_entropy(outputs.flatten(0, 1), data[1].repeat(2), reduction="none")
    torch.testing.assert_close(shared_log_likelihood(model, data, cells), expected.view(2, -1).mean(-1))


def test_the_divergence_counts_points_as_all_data(data):
    """With all points it is the gap of the library's posterior; with half of them, it counts each twice."""
    model, guide = build(SEARCHES["DARTS"], data, 2, 3, seed=0)
    whole = vds.exact_posterior(model, data)
    assert divergence(model, guide, data) == pytest.approx(whole.gap(guide), abs=1e-9)
    half = tuple(part[:3] for part in data)
    twice = vds.exact_posterior(model, tuple(part.repeat(2, *[1] * (part.ndim - 1)) for part in half))
    assert divergence(model, guide, half) == pytest.approx(twice.gap(guide), abs=1e-9)


def test_a_cell_alone_is_the_same_for_a_seed_and_learns(data):
    x, y = data
    apart = torch.nn.functional.one_hot(y, 16).reshape(-1, 1, 4, 4) * 5.0
    how = {"channels": 4, "classes": 3, "epochs": 60}
    cell = [2, 2, 1, 3, 1, 1]
    one, other = (train_alone(cell, (apart + 0.1 * x, y), (apart, y), **how, seed=0) for _ in range(2))
    assert one == other
    nothing = train_alone([0] * 6, (apart, y), (apart, y), **how, seed=0)
    assert one["log_likelihood"] > nothing["log_likelihood"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "supernet"
    list(sweeps.run(supernet.SCAN.tiny, supernet.SCAN.measure, folder, CPU))
    return sweeps.results(supernet.SCAN.tiny, folder)


def test_the_tiny_form_has_all_parts(tiny):
    searches = rules.part(tiny, "search")
    assert {r["settings"]["of"] for r in searches} == set(SEARCHES)
    for result in searches:
        assert [state["epoch"] for state in result["states"]] == list(range(1, 1 + result["settings"]["epochs"]))
        assert len(result["entropy"]) == 1 + 2 * result["settings"]["epochs"]
        for state in result["states"]:
            assert state["entropy"] == pytest.approx(result["entropy"][2 * state["epoch"]], rel=1e-4)
            assert state["kl"] >= -1e-4
            if result["settings"]["of"] != "generator of 16 inputs":
                assert abs(state["total_correlation"]) < 1e-4
    assert len(rules.searches_table(tiny).splitlines()) == 2 + 2 * len(SEARCHES)
    assert len(rules.claims_table(tiny).splitlines()) == 2 + len(rules.CLAIMS)
    assert rules.alone_text(tiny).startswith("3 random cells alone: accuracy ")


def made_up(entropy=0.5, accuracy=0.9, taus=(1.0, 1.0)):
    """Random cells of 50 to 60 % accuracy, and a search of one input with two seeds."""
    alone = [
        {"cell": [0] * 6, "alone": [{"accuracy": 0.5 + i / 40, "log_likelihood": float(i)} for _ in range(2)]}
        for i in range(5)
    ]
    named = [{"accuracy": accuracy, "log_likelihood": -0.1}]
    found = [{"settings": {"part": "alone"}, "rows": alone}]
    for tau in taus:
        shared = {1.0: [0, 1, 2, 3, 4], 0.6: [1, 0, 3, 2, 4], -1.0: [4, 3, 2, 1, 0], 0.2: [2, 1, 0, 4, 3]}[tau]
        state = {"epoch": 1, "entropy": entropy, "cell": [0] * 6, "alone": named, "shared": shared}
        setting = {"part": "search", "of": rules.LITERAL}
        found.append({"settings": setting, "every": 1, "entropy": [9.0] * 5, "states": [state]})
    return found


@pytest.mark.parametrize(
    ("judge", "how", "verdict"),
    [
        (rules.one_epoch_is_enough, {}, "holds"),
        (rules.one_epoch_is_enough, {"entropy": 5.0}, "holds in part"),
        (rules.one_epoch_is_enough, {"accuracy": 0.5}, "holds in part"),
        (rules.one_epoch_is_enough, {"entropy": 5.0, "accuracy": 0.5}, "does not hold"),
        (rules.shared_weights_rank, {}, "holds"),
        (rules.shared_weights_rank, {"taus": (0.2, 0.2, 0.6)}, "holds in part"),
        (rules.shared_weights_rank, {"taus": (1.0, -1.0)}, "does not hold"),
    ],
)
def test_verdicts_follow_from_the_numbers(judge, how, verdict):
    assert judge(made_up(**how))[1] == verdict

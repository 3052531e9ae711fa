"""Tables of architectures: searches do what they say, verdicts follow from the numbers, real tables hit the targets."""

import numpy as np
import pytest
import torch

import pyro_vds as vds
from experiments import nas_tables
from experiments.claims import nas
from experiments.engine.nas_search import POPULATION, best_seen, evolution, random_search, score_loss, score_search
from pyro_vds import sweeps
from pyro_vds.guides import GeneratedMixture, ProductMixture
from pyro_vds.sweeps import Resources

CPU = Resources(torch.device("cpu"))
MARKS = (20, 40)


def table(sites=3, options=4):
    return 5 * torch.randn((options,) * sites, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [lambda: ProductMixture(2, 3, 1), lambda: ProductMixture(2, 3, 3),
                                  lambda: GeneratedMixture(2, 3, 4)])  # fmt: skip
def test_score_gradients_are_those_of_the_exact_elbo_in_the_mean(make):
    """The mean over 4,000 estimates is within four standard errors of the gradient of the table."""
    q, values = make(), table(2, 3)
    log_q = q.joint_log_probs()
    parameters = list(q.parameters())
    exact = torch.autograd.grad((log_q.exp() * (log_q - values.flatten())).sum(), parameters)
    found = []
    for _ in range(4000):
        choices = q.sample(3)
        loss = score_loss(q, choices, values[tuple(choices.T)])
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    draws = torch.stack(found)
    error = draws.std(0) / len(draws) ** 0.5
    expected = torch.cat([g.flatten() for g in exact])
    assert bool(((draws.mean(0) - expected).abs() <= 4 * error + 1e-9).all())


def test_every_search_looks_up_as_many():
    searches = (random_search, evolution, score_search(lambda *size: ProductMixture(*size, 2), 0.1))
    for search in searches:
        trace = search(table(), 40, MARKS)
        assert trace.looked_up.shape == (40,)
        assert 0 <= int(trace.looked_up.min()) <= int(trace.looked_up.max()) < 64
        assert tuple(trace.answers) == MARKS


def test_the_best_seen_is_the_best_so_far():
    values = torch.tensor([[1.0, 5.0], [9.0, 2.0]])
    assert best_seen(torch.tensor([0, 3, 1, 2]), values, (1, 2, 3, 4)) == {1: 0, 2: 3, 3: 1, 4: 2}


def test_evolution_changes_one_choice_of_a_member():
    trace = evolution(table(4, 3), 200, (200,))
    cells = np.array(np.unravel_index(trace.looked_up.numpy(), (3,) * 4)).T
    for i in range(POPULATION, 200):
        changes = (cells[i] != cells[i - POPULATION : i]).sum(1)
        assert changes.min() <= 1
        assert (changes == 1).any()


def test_a_search_by_scores_finds_the_best_of_an_easy_table():
    """Each site has one option that is better by 10 nats, whatever the others are."""
    best = [2, 0, 3]
    values = torch.zeros(4, 4, 4)
    for site, option in enumerate(best):
        values.select(site, option).add_(10.0)
    torch.manual_seed(0)
    trace = score_search(lambda *size: ProductMixture(*size, 1, spread=0.01), 0.3)(values, 500, (500,))
    assert trace.answers[500] == int(values.argmax())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The results of the tiny form, which needs no file."""
    folder = tmp_path_factory.mktemp("results") / "nas_tables"
    list(sweeps.run(nas_tables.SCAN.tiny, nas_tables.SCAN.measure, folder, CPU))
    return sweeps.results(nas_tables.SCAN.tiny, folder)


def part(found, name):
    return {r["settings"]["of"]: r for r in found if r["settings"]["part"] == name}


def test_the_tiny_form_has_all_parts(tiny):
    assert set(part(tiny, "guide")) == set(nas_tables.FAMILIES)
    assert set(part(tiny, "search")) == set(nas_tables.SEARCHES)
    rows = part(tiny, "posterior")["cifar10"]["rows"]
    assert [row["n"] for row in rows] == list(nas_tables.POINTS)
    for row in rows:
        assert row["largest_pair"] <= row["total_correlation"] + 1e-6
        assert row["mean_field_kl"] >= -1e-6
    for result in part(tiny, "guide").values():
        for row in result["rows"]:
            assert row["kl"] == row["kl_by_lr"][str(row["lr"])]
            assert np.mean(row["kl"]) == min(np.mean(kl) for kl in row["kl_by_lr"].values())
            assert len(row["kl"]) == 2
    for result in part(tiny, "search").values():
        assert np.mean([seed[-1] for seed in result["regret"]["named"]]) == pytest.approx(
            min(result["end_by_lr"].values()), abs=1e-5
        )
        for regrets in zip(result["regret"]["named"], result["regret"]["seen"], strict=True):
            assert min(regrets[0] + regrets[1]) >= 0
            assert sorted(regrets[1], reverse=True) == regrets[1]


def test_tables_have_a_row_for_each(tiny):
    assert len(nas.posterior_table(tiny).splitlines()) == 2 + len(nas_tables.POINTS)
    assert len(nas.guides_table(tiny).splitlines()) == 2 + len(nas_tables.FAMILIES)
    assert len(nas.search_table(tiny).splitlines()) == 2 + len(nas_tables.SEARCHES)
    assert len(nas.depth_tables(tiny).splitlines()) == 2 * (2 + 2 * (1 + len(nas_tables.POINTS))) + 1
    assert len(nas.review_table(made_up()).splitlines()) == 2 + len(nas.CLAIMS)


def made_up(total_correlation=(0.5, 0.5), one_input=0.5, many_inputs=0.1, spread=1.0, five=0.0, noise=0.0):
    """Results with a mean field at 0.5 nats, and regrets around 1 point of accuracy with a deviation of 0.1."""

    def regrets(early, last_spread):
        wave = np.array([-1.0, 1.0] * 10)
        columns = [1.0 + early + 0.1 * wave, 1.0 + early + 0.1 * wave, 1.0 + 0.1 * last_spread * wave]
        return {"look_ups": [200, 500, 1000], "regret": {"named": (np.stack(columns, 1) / 100).tolist(), "seen": []}}

    rows = [
        {"n": n, "total_correlation": tc, "entropy": 2.0, "mean_field_kl": 0.5}
        for n, tc in zip((100, 1000), total_correlation, strict=True)
    ]
    guides = {nas.ONE_INPUT: one_input, nas.MANY_INPUTS: many_inputs}
    searches = {
        "": regrets(0.0, 1.0),
        " with one block": regrets(0.0, spread),
        " with five blocks": regrets(five, 1.0),
        " with noise": regrets(noise, 1.0),
    }
    found = [{"settings": {"part": "posterior", "of": "cifar10"}, "rows": rows}]
    found += [
        {"settings": {"part": "guide", "of": of}, "rows": [{"n": n, "kl": [kl, 9.0]} for n in (100, 1000)]}
        for of, kl in guides.items()
    ]
    return found + [{"settings": {"part": "search", "of": nas.ONE_INPUT + end}} | r for end, r in searches.items()]


@pytest.mark.parametrize(
    ("judge", "how", "verdict"),
    [
        (nas.edges_are_dependent, {}, "holds"),
        (nas.edges_are_dependent, {"total_correlation": (0.5, 0.01)}, "holds in part"),
        (nas.edges_are_dependent, {"total_correlation": (0.05, 0.01)}, "does not hold"),
        (nas.generator_has_dependence, {"one_input": 0.3}, "holds"),
        (nas.generator_has_dependence, {}, "holds in part"),
        (nas.generator_has_dependence, {"many_inputs": 0.495}, "does not hold"),
        (nas.blocks_matter, {"spread": 2.0, "five": 0.5}, "holds"),
        (nas.blocks_matter, {"spread": 2.0}, "holds in part"),
        (nas.blocks_matter, {"five": 0.5}, "holds in part"),
        (nas.blocks_matter, {"five": -0.5}, "does not hold"),
        (nas.point_estimate_is_slower, {"noise": -0.5}, "holds"),
        (nas.point_estimate_is_slower, {"noise": -0.01}, "does not hold"),
        (nas.point_estimate_is_slower, {"noise": 0.5}, "does not hold"),
        (nas.one_epoch_is_enough, {}, "not judged"),
    ],
)
def test_verdicts_follow_from_the_numbers(judge, how, verdict):
    assert judge(made_up(**how))[1] == verdict


def values_of(name):
    return next(t.values for t in nas_tables.SCAN.paper.trials() if t.values["part"] == name)


def test_files_are_asked_for_by_name(tmp_path):
    where = Resources(torch.device("cpu"), str(tmp_path))
    for name in ("posterior", "guide", "search", "depth"):
        with pytest.raises(FileNotFoundError, match="Expected NAS-Bench-.* at .*nas-bench-.*, found no file there"):
            nas_tables.measure(values_of(name), 1, where)


def test_the_posterior_over_cells_is_that_of_the_specification(shared_data):
    """Entropy, total correlation, expected accuracy and p(best), CIFAR-10, architectures.md B.2."""
    found = nas_tables.measure(values_of("posterior"), 1, Resources(torch.device("cpu"), str(shared_data)))
    expected = {
        30: (8.46, 0.358, 93.00, 0.002),
        100: (5.99, 0.662, 93.89, 0.027),
        300: (2.72, 0.366, 94.31, 0.167),
        1000: (1.43, 0.320, 94.37, 0.341),
        3000: (0.98, 0.432, 94.37, 0.448),
        10000: (0.71, 0.673, 94.37, 0.498),
    }
    for row in found["rows"]:
        digits = ((row["entropy"], 2), (row["total_correlation"], 3), (100 * row["accuracy"], 2))
        assert (*(round(v, d) for v, d in digits), round(row["best_probability"], 3)) == expected[row["n"]]


def test_the_posterior_of_the_depth_is_that_of_the_specification(shared_data):
    """architectures.md B.3, to three digits; with first layers of one block the rule "95" chooses 6 of 8."""
    found = nas_tables.measure(values_of("depth"), 1, Resources(torch.device("cpu"), str(shared_data)))
    expected = {
        10: [0.047, 0.106, 0.163, 0.206, 0.229, 0.240],
        100: [0.0, 0.0, 0.009, 0.074, 0.248, 0.668],
        1000: [0.0, 0.0, 0.0, 0.024, 0.491, 0.485],
        10000: [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    paper = {row["n"]: row for row in found["posterior"] if row["prior"] == "paper"}
    for n, q in expected.items():
        assert [round(p, 3) for p in paper[n]["q"][3:]] == q
    assert [round(100 * a, 2) for a in found["best_accuracy"][6:]] == [93.08, 93.13, 93.11]
    first = {(row["block"], row["n"]): row for row in found["first_layers"]}
    assert [first["e6k5", n]["chosen_depth"] for n in (100, 1000, 10000)] == [6, 6, 6]
    assert [round(p, 3) for p in first["e6k5", 100]["q"][6:]] == [0.489, 0.297, 0.193]
    assert vds.choose_depth(first["k3", 1000]["q"]) == 8

"""What replaces the exact sum over depths: it is what it says, and verdicts follow from the numbers."""

from functools import partial

import pytest
import torch

import pyro_vds as vds
from experiments import relaxations
from experiments.claims import relaxations as rules
from experiments.engine.gradients import bias_and_noise, gradient
from experiments.engine.relaxed import (
    AXIS,
    METHODS,
    Averaged,
    ClosedForm,
    Concrete,
    Exact,
    PathDropout,
    Score,
    Shrinkage,
    recompute_statistics,
)
from experiments.engine.soft_choices import RELAXED, SoftChoices, gated_graph, softmax_weights
from pyro_vds import sweeps
from pyro_vds.sweeps import Resources

CPU = Resources(torch.device("cpu"))
DEPTH = 3


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 2, generator=generator), torch.randint(2, (12,), generator=generator)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 2, width=4, max_depth=DEPTH), num_data=24)
    guide = vds.AutoCategorical(model)
    guide.set_probs({AXIS: torch.tensor([0.1, 0.2, 0.3, 0.4])})
    return model, guide


def point_mass(guide, depth):
    guide.set_probs({AXIS: torch.nn.functional.one_hot(torch.tensor(depth), DEPTH + 1).to(guide.probs()[AXIS])})


def both(model, guide):
    return [*guide.parameters(), *model.backbone.parameters()]


def test_the_exact_gradient_is_that_of_the_closed_form(pair, data):
    one, other = (gradient(kind(*pair)(*data), both(*pair)) for kind in (Exact, ClosedForm))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * float(other.norm()))
    torch.testing.assert_close(Exact(*pair)(*data), ClosedForm(*pair)(*data), rtol=1e-12, atol=0)


@pytest.mark.parametrize("baseline", [False, True])
def test_score_estimators_are_unbiased(pair, data, baseline):
    """The mean of 300 estimates is within three standard errors, for logits and for weights."""
    objective, logits = Score(*pair, baseline=baseline), sum(p.numel() for p in pair[1].parameters())
    exact = gradient(Exact(*pair)(*data), both(*pair))
    torch.manual_seed(0)
    draws = torch.stack([gradient(objective(*data), both(*pair)) for _ in range(300)])
    for part in (slice(0, logits), slice(logits, None)):
        found = bias_and_noise(exact[part], draws[:, part])
        assert found["bias"] <= 3 * found["standard_error"]


@pytest.mark.parametrize("depth", range(DEPTH + 1))
@pytest.mark.parametrize(
    "kind", [Score, Averaged, partial(Concrete, temperature=0.5, hard=True), partial(Concrete, temperature=0.5)]
)
def test_at_a_point_mass_all_are_the_network_of_that_depth(pair, data, kind, depth):
    model, guide = pair
    point_mass(guide, depth)
    objective = kind(model, guide)
    expected = -objective.log_likelihood(model.outputs(data[0])[depth], data[1])
    found = objective(*data) - (0 if kind is Averaged else guide.kl(model))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("rate", "depth"), [(0.0, DEPTH), (1.0, 0)])
def test_path_dropout_of_all_or_nothing(pair, data, rate, depth):
    objective = PathDropout(*pair, rate=rate)
    expected = -objective.log_likelihood(pair[0].outputs(data[0])[depth], data[1])
    torch.testing.assert_close(objective(*data), expected)


def test_scales_of_one_are_the_plain_network(pair, data):
    objective = Shrinkage(*pair)
    expected = pair[0].outputs(data[0])[-1].log_softmax(-1)
    torch.testing.assert_close(objective.log_predictive(data[0]), expected)
    assert torch.isfinite(gradient(objective(*data), list(objective.parameters()))).all()


@pytest.mark.parametrize("name", METHODS)
def test_predictions_are_distributions(pair, data, name):
    objective = METHODS[name](*pair)
    total = objective.log_predictive(data[0]).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))
    moved = gradient(objective(*data), list(pair[1].parameters()))
    assert bool(moved.any()) == objective.learns_q
    assert objective.deterministic == (len({objective(*data).item() for _ in range(30)}) == 1)


def test_statistics_are_those_of_the_pass_that_predicts(pair, data):
    """In eval mode the scaled network has the outputs that its batch has in train mode, up to the unbiased variance."""
    objective = Shrinkage(*pair)
    objective.location.data.fill_(-1.0)
    with torch.no_grad():
        in_train_mode = objective.log_predictive(data[0])
    recompute_statistics(objective, data[0])
    assert not pair[0].training
    norms = [module for module in pair[0].modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.running_var.mul_((len(data[0]) - 1) / len(data[0]))
        assert norm.momentum == 0.1
    with torch.no_grad():
        torch.testing.assert_close(objective.log_predictive(data[0]), in_train_mode)


def test_bias_and_noise_are_in_lengths_of_the_gradient():
    exact, estimates = torch.tensor([3.0, 4.0]), torch.tensor([[3.0, 9.0], [3.0, 9.0]])
    assert bias_and_noise(exact, estimates) == pytest.approx(
        {"bias": 1.0, "standard_error": 0.0, "deviation": 0.0, "cosine": 45 / (5 * 90**0.5)}
    )
    noisy = bias_and_noise(exact, torch.tensor([[3.0, 3.0], [3.0, 5.0]]))
    assert noisy == pytest.approx(
        {"bias": 0.0, "standard_error": 1 / 5, "deviation": 2**0.5 / 5, "cosine": 1.0}, abs=1e-6
    )


@pytest.fixture
def gates():
    torch.manual_seed(0)
    graph = gated_graph("LayerNorm", (1, 2, 2), 3, layers=1, channels=4)
    model = vds.VDSModel(graph, priors=vds.priors.Uniform(), num_data=10)
    return model, vds.AutoCategorical(model), (torch.randn(5, 1, 2, 2), torch.randint(3, (5,)))


def test_hard_gates_run_the_drawn_graph(gates):
    """A straight-through draw has the likelihood of the architecture that was drawn."""
    model, guide, (x, y) = gates
    table = model.likelihood(model.outputs(x)).log_prob(y).sum(-1) * 2
    for name in ("straight-through", "straight-through Concrete 0.5"):
        loss = SoftChoices(model, guide, RELAXED[name])(x, y) - guide.kl(model)
        assert bool(torch.isclose(-loss, table).any())
        assert bool(gradient(loss, list(guide.parameters())).any())


def test_softmax_weights_at_a_point_mass_are_one_architecture(gates):
    model, guide, (x, y) = gates
    guide.set_probs({"gate": torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).to(model.device_tensor())})
    expected = model.likelihood(model.backbone.at(x, {"gate": torch.tensor([[1, 0, 1]])})).log_prob(y).sum() * 2
    torch.testing.assert_close(-SoftChoices(model, guide, softmax_weights, kl=False)(x, y), expected)


def test_a_closed_merge_has_a_steep_normalisation():
    """The derivative of LayerNorm at zeros is 1 / sqrt(eps), 316."""
    torch.manual_seed(0)
    x, closed = torch.randn(4, 1, 2, 2), torch.zeros(1, 3, 2)
    closed[..., 0] = 1
    steep = {}
    for norm in ("none", "LayerNorm"):
        graph = gated_graph(norm, (1, 2, 2), 3, layers=1, channels=4)
        weights = closed.clone()
        weights[0, 2] = torch.tensor([0.0, 1.0])  # the layer is read
        weights.requires_grad_()
        outputs = graph.at(x, {"gate": weights})
        steep[norm] = float(torch.autograd.grad(outputs.square().sum(), weights)[0][0, 0].norm())
    assert steep["LayerNorm"] > 100 * steep["none"]


def test_a_normalisation_is_known():
    with pytest.raises(ValueError, match="Expected a normalisation of none, LayerNorm, .* got 'batch'"):
        gated_graph("batch", (1, 2, 2), 3, layers=1, channels=4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "relaxations"
    list(sweeps.run(relaxations.SCAN.tiny, relaxations.SCAN.measure, folder, CPU))
    return sweeps.results(relaxations.SCAN.tiny, folder)


def test_the_tiny_form_has_all_parts(tiny):
    assert len(rules.part(tiny, "merge")) == len(relaxations.NORMS)
    for result in rules.part(tiny, "gradients"):
        assert len(result["rows"]) == 2 * (len(METHODS) - 1)
        for row in result["rows"]:
            if row["method"] in ("exact", "exact, written out"):
                assert max(row["logits"]["bias"], row["weights"]["bias"]) < 1e-4
    for rows in rules.by_method(tiny).values():
        assert [row["gap"] >= -1e-6 for row in rows if "gap" in row] == [True] * sum("gap" in row for row in rows)
    assert len(rules.training_table(tiny).splitlines()) == 2 + len(METHODS)
    assert len(rules.merge_table(tiny).splitlines()) == 2 + 5 * len(relaxations.NORMS)
    assert len(rules.gradients_table(tiny).splitlines()) == 2 + 4 * (len(METHODS) - 2)
    table = rules.claims_table(tiny)
    assert len(table.splitlines()) == 2 + len(rules.CLAIMS)
    assert "nan" not in table


def estimate(bias=0.0, error=1.0):
    return {"bias": bias, "standard_error": error, "deviation": 10 * error, "cosine": 1.0}


def gradients(**of):
    """Results at two networks: biases in standard errors, of logits and weights alike, by method."""
    methods = (*rules.SCORES, *rules.RELAXED)
    rows = [
        {"method": method, "q": q, "logits": estimate(of.get(method, 0.0)), "weights": estimate(of.get(method, 0.0))}
        for method in methods
        for q in ("uniform", "learnt")
    ]
    return [{"settings": {"part": "gradients", "of": steps}, "rows": rows} for steps in (100, 600)]


def trained(**of):
    """Results of three seeds with an ELBO of -10, a gap of 2, an error of 2 % and a time of 1 unless told otherwise."""
    methods = ("exact", "exact, written out", *rules.SCORES, "Concrete 1")
    usual = {"elbo": -10.0, "gap": 2.0, "error": 0.02, "seconds_of_step": 1.0}
    rows = [{"method": method} | usual | of.get(method, {}) for method in methods]
    return [{"settings": {"part": "training", "of": seed}, "rows": rows} for seed in range(3)]


def merged(**of):
    rows = {norm: {"RLOO": 1.0, "straight-through": 1.0, "Concrete 1": 1.0} for norm in relaxations.NORMS}
    for norm, changed in of.items():
        rows[norm] |= changed
    return [
        {
            "settings": {"part": "merge", "of": norm},
            "rows": [{"method": m, "deviation": d} for m, d in deviations.items()],
        }
        for norm, deviations in rows.items()
    ]


SLOW, ALL = {"seconds_of_step": 2.0}, dict.fromkeys(rules.RELAXED, 4.0)
BOTH = {"straight-through": 20.0, "Concrete 1": 20.0}


@pytest.mark.parametrize(
    ("judge", "found", "verdict"),
    [
        (rules.exact_has_the_best_bound, trained(exact={"elbo": -5.0, "gap": 1.0}), "holds"),
        (rules.exact_has_the_best_bound, trained(exact={"elbo": -15.0, "gap": 1.0}), "holds in part"),
        (rules.exact_has_the_best_bound, trained(exact={"elbo": -15.0, "gap": 3.0}), "does not hold"),
        (rules.scores_are_unbiased, gradients(), "holds"),
        (rules.scores_are_unbiased, gradients(**{rules.SCORES[0]: 2.5}), "holds in part"),
        (rules.scores_are_unbiased, gradients(**{rules.SCORES[1]: 3.5}), "does not hold"),
        (rules.relaxations_are_biased, gradients(**ALL), "holds"),
        (rules.relaxations_are_biased, gradients(**ALL | {"Concrete 1": 0.0}), "does not hold"),
        (rules.soft_gates_point_elsewhere, gradients(**ALL), "holds"),
        (rules.soft_gates_point_elsewhere, gradients(), "does not hold"),
        (rules.exact_costs_no_more, trained(), "holds"),
        (rules.exact_costs_no_more, trained(**{"Concrete 1": {"seconds_of_step": 0.5}}), "holds in part"),
        (rules.exact_costs_no_more, trained(**{"exact, written out": SLOW}), "does not hold"),
        (rules.exact_errs_least, trained(exact={"error": 0.01}), "holds"),
        (rules.exact_errs_least, trained(), "does not hold"),
        (rules.relaxed_gates_explode, merged(LayerNorm=BOTH, GroupNorm=BOTH), "holds"),
        (rules.relaxed_gates_explode, merged(LayerNorm={"straight-through": 20.0}), "holds in part"),
        (rules.relaxed_gates_explode, merged(), "does not hold"),
    ],
)
def test_verdicts_follow_from_the_numbers(judge, found, verdict):
    assert judge(found)[1] == verdict

"""Weights of points: a point of weight two is the point twice, and weights that are no weights are refused."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds
from tests import oracles

WEIGHT = torch.tensor([1, 2, 0, 3] * 3)


def weighted(likelihood: vds.likelihoods.Likelihood | None = None, count: int = 12) -> vds.VDSModel:
    """The model of the oracles for another number of points."""
    plain, *_ = oracles.problem(2)
    return vds.VDSModel(plain.backbone.eval(), priors=plain.priors, likelihood=likelihood, num_data=count).eval()


def both() -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, torch.Tensor]]:
    _, _, x, y = oracles.problem(2)
    return (x, y, WEIGHT.to(x)), (x.repeat_interleave(WEIGHT, 0), y.repeat_interleave(WEIGHT, 0))


def test_a_weight_of_two_is_the_point_twice_in_elbo_gradient_and_posterior():
    few, many = both()
    found = []
    for points in (few, many):
        model = weighted(count=len(points[0]))
        guide = vds.AutoCategorical(model)
        guide.set_probs({"depth": torch.tensor([0.2, 0.3, 0.5])})
        loss = vds.enum_elbo(model, guide)(*points)
        parameters = [*model.backbone.parameters(), *guide.parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        exact = vds.exact_posterior(model, points)
        assert exact.elbo(guide) == pytest.approx(-float(loss.detach()))
        found.append((loss, gradients, exact.log_likelihood, exact.log_evidence))
    torch.testing.assert_close(found[0], found[1])


def test_batches_with_weights_add_up_to_all_data():
    (x, y, weight), _ = both()
    model = weighted()
    elbo = vds.enum_elbo(model, vds.AutoCategorical(model))
    parts = [elbo(*(part[i : i + 4] for part in (x, y, weight))) for i in (0, 4, 8)]
    torch.testing.assert_close(sum(parts) / 3, elbo(x, y, weight))


def test_loaders_carry_weights_to_training_posterior_and_stacking():
    points, _ = both()
    loader = DataLoader(TensorDataset(*points), 5)
    model = weighted()
    torch.testing.assert_close(
        vds.exact_posterior(model, loader).log_likelihood, vds.exact_posterior(model, points).log_likelihood
    )
    torch.testing.assert_close(vds.stacked_weights(model, loader), vds.stacked_weights(model, points))
    histories = []
    for data in (points, DataLoader(TensorDataset(*points), 12)):
        torch.manual_seed(0)
        model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=12)
        guide = vds.AutoCategorical(model)
        how = {"max_epochs": 3, "progress": False, "guide_update": "closed_form"}
        history = vds.fit(model, guide, data, validation=data, **how)
        assert vds.exact_posterior(model, points).gap(guide) == pytest.approx(0, abs=1e-6)
        torch.testing.assert_close(
            guide.log_weights("stacked").exp(), vds.stacked_weights(model, points).exp(), rtol=1e-4, atol=1e-4
        )
        # The mean over repeated points is the weighted mean.
        density = vds.log_predictive(model, guide, *points[:2])
        assert density.shape == (12,)
        histories.append(history)
    torch.testing.assert_close(histories[0].elbo, histories[1].elbo)


def test_validation_means_are_weighted():
    few, many = both()
    measured = []
    for held_out in (few, many):
        torch.manual_seed(0)
        model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=12)
        guide = vds.AutoCategorical(model)
        history = vds.fit(model, guide, few, validation=held_out, max_epochs=2, progress=False)
        measured.append(history.validation)
    torch.testing.assert_close(measured[0], measured[1])


def test_weights_of_replicates_are_those_of_each():
    (x, y, weight), _ = both()
    weights = torch.stack([weight, weight.flip(0)])
    net = vds.Replicated(vds.ResidualMLP(2, 3, width=4, max_depth=1), 2)
    model = vds.VDSModel(net, num_data=12)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, [(x, y, w) for w in weights], max_epochs=1, progress=False)
    found = vds.enum_elbo(model.eval(), guide).losses(model.shared(x), model.shared(y), weights)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(found[r], vds.enum_elbo(one, its_guide)(x, y, weights[r]))


def test_gates_with_weights_are_the_points_repeated():
    losses = []
    for points in both():
        torch.manual_seed(0)
        net = vds.connectivity((2,), 3, layers=2, channels=4)
        model = vds.VDSModel(net, num_data=len(points[0])).eval()
        losses.append(vds.enum_elbo(model, vds.AutoCategorical(model))(*points))
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("weight", "kind", "message"),
    [
        (-torch.ones(12), ValueError, "finite weights of at least 0, not all zero, got -1 to -1"),
        (torch.full((12,), torch.nan), ValueError, "finite weights of at least 0, not all zero, got nan"),
        (torch.zeros(12), ValueError, "not all zero, got 0 to 0"),
        (torch.ones(12, 1), ValueError, r"a weight for each point, of shape \(12,\), got \(12, 1\)"),
        (torch.ones(11), ValueError, r"got \(11,\)"),
        (torch.ones(12, dtype=torch.long), TypeError, "floating-point weights of the points.*got torch.int64"),
    ],
)
def test_bad_weights_are_refused_everywhere(weight, kind, message):
    model, (x, y, _) = weighted(), both()[0]
    guide = vds.AutoCategorical(model)
    for call in (
        lambda: vds.fit(model, guide, (x, y, weight), max_epochs=1, progress=False),
        lambda: vds.exact_posterior(model, (x, y, weight)),
        lambda: vds.stacked_weights(model, (x, y, weight)),
        lambda: vds.enum_elbo(model, guide)(x, y, weight),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_what_cannot_weigh_says_so():
    points, _ = both()
    model = weighted()
    loader = DataLoader(TensorDataset(*points), 5)
    with pytest.raises(ValueError, match="Expected data without weights, got some"):
        vds.to_datatree(model, vds.AutoCategorical(model), loader)
    with pytest.raises(TypeError, match="a pair .* without weights, got 3 parts. Leave weights out"):
        vds.lesion_study(model, None, loader)
    by_input = vds.VDSModel(model.backbone, num_data=12, plate=vds.DATA)
    guide = vds.AutoPerInput(by_input, torch.nn.Linear(2, 3))
    with pytest.raises(ValueError, match="no weights for a model with an architecture for each input"):
        vds.fit(by_input, guide, points, max_epochs=1, progress=False)


def test_weights_go_with_several_inputs_and_with_arrays():
    (x, y, weight), _ = both()
    plain = weighted()
    model = vds.VDSModel(plain.backbone, priors=plain.priors, num_data=12).eval()
    expected = vds.exact_posterior(model, (x, y, weight)).log_likelihood
    arrays = tuple(part.numpy() for part in (x, y, weight))
    torch.testing.assert_close(vds.exact_posterior(model, arrays).log_likelihood, expected)
    guide = vds.AutoCategorical(model)
    torch.testing.assert_close(vds.enum_elbo(model, guide)(*arrays), vds.enum_elbo(model, guide)(x, y, weight))

    class First(torch.nn.Module):
        def __init__(self, stem: torch.nn.Module) -> None:
            super().__init__()
            self.stem = stem

        def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.stem(x["points"] * x["mask"])

    tree = {"points": x, "mask": torch.ones(12, 1, dtype=x.dtype)}
    model.backbone.stem = First(model.backbone.stem)
    data = (tree, y, weight)
    torch.testing.assert_close(vds.exact_posterior(model, data).log_likelihood, expected)
    histories = []
    for points in (data, DataLoader(range(12), 12, collate_fn=lambda _: data)):
        model = vds.VDSModel(model.backbone, num_data=12)
        before = {name: t.clone() for name, t in model.state_dict().items()}
        history = vds.fit(model, vds.AutoCategorical(model), points, validation=points, max_epochs=2, progress=False)
        histories.append(history.elbo)
        model.load_state_dict(before)
    torch.testing.assert_close(histories[0], histories[1])

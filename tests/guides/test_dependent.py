"""Guides with dependent sites, on tables whose posterior is known."""

import itertools

import pytest
import sites
import torch

import pyro_vds as vds

MAKERS = {
    "mixture": lambda model: vds.AutoMixture(model, 3),
    "generator": lambda model: vds.AutoGenerator(model, inputs=4),
    "noisy generator": lambda model: vds.AutoGenerator(model, inputs=2, noise=1.0),
}


def table(sites=4, options=2, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn((options,) * sites, dtype=torch.double, generator=generator)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_guide_is_its_distribution(make):
    torch.manual_seed(0)
    model = vds.TabularModel(table())
    guide = make(model)
    joint = guide.joint_log_probs().detach()
    assert float(joint.exp().sum()) == pytest.approx(1.0)
    choices = torch.tensor(list(itertools.product((0, 1), repeat=4)))
    torch.testing.assert_close(guide.log_prob({"op": choices}).detach(), joint)
    marginal = torch.stack([joint.exp()[choices[:, site] == 1].sum() for site in range(4)])
    torch.testing.assert_close(guide.probs()["op"][:, 1], marginal)
    drawn = guide.sample(20_000)["op"]
    torch.testing.assert_close(drawn.double().mean(0), marginal, atol=0.015, rtol=0)
    exact = vds.exact_posterior(model, model.data)
    assert exact.log_evidence - exact.elbo(guide) == pytest.approx(exact.gap(guide), abs=1e-12)
    by_hand = float((joint.exp() * (joint - exact.log_joint_probs)).sum())
    assert exact.gap(guide) == pytest.approx(by_hand, abs=1e-9)
    assert model.space["op"].index(guide.mode()["op"]) in range(16)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("closed", [True, False])
def test_the_drawn_elbo_is_unbiased(make, closed, monkeypatch):
    """With its KL from the table, and with a drawn one, as where there are too many architectures."""
    torch.manual_seed(0)
    model, _ = sites.dense_model()
    guide = make(model)
    if not closed:
        monkeypatch.setattr(type(guide), "has_closed_kl", False)
    x, y = sites.data()
    parameters = list(guide.distribution.parameters())
    exact = vds.elbo(model, guide)(x, y)
    truth = torch.cat([g.flatten() for g in torch.autograd.grad(exact, parameters)])
    estimate, found, values = vds.elbo(model, guide, samples=4), [], []
    for _ in range(400):
        loss = estimate(x, y)
        values.append(loss.detach())
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    gradients, losses = torch.stack(found), torch.stack(values)
    assert float((gradients.mean(0) - truth).norm()) < 3 * float((gradients.var(0).sum() / 400).sqrt())
    assert abs(float(losses.mean() - exact.detach())) < 3 * float(losses.std() / 20)


def test_a_mixture_of_as_many_products_as_architectures_is_any_distribution():
    torch.manual_seed(0)
    model = vds.TabularModel(table(scale=1.0))
    guide = vds.AutoMixture(model, 16)
    vds.fit(
        model, guide, model.data, max_epochs=1500, patience=None, optimizer=torch.optim.Adam, lr=0.1,
        scheduler="cosine", progress=False,
    )  # fmt: skip
    exact = vds.exact_posterior(model, model.data)
    assert exact.gap(guide) < 1e-3
    mean_field = vds.AutoCategorical(model)
    for _ in range(50):
        mean_field.follow(exact.log_joint_probs)
    assert exact.gap(mean_field) > 0.05  # a bad control: independent sites cannot


def test_a_generator_of_one_input_has_independent_sites():
    torch.manual_seed(0)
    model = vds.TabularModel(table(3, 5))
    one, several = vds.AutoGenerator(model, inputs=1), vds.AutoGenerator(model, inputs=16)
    joint = one.joint_probs().view(5, 5, 5)
    assert vds.dependence.total_correlation(joint) == pytest.approx(0.0, abs=1e-6)
    assert vds.dependence.total_correlation(several.joint_probs().view(5, 5, 5)) > 0.01


def test_a_table_is_a_model_like_any_other():
    values = table(3, 4)
    model = vds.TabularModel(values, options=("a", "b", "c", "d"), sites=("x", "y", "z"), prior=vds.priors.Uniform())
    exact = vds.exact_posterior(model, model.data)
    expected = values.flatten().softmax(0)
    torch.testing.assert_close(exact.log_joint_probs.exp(), expected)
    guide = vds.AutoCategorical(model)
    for _ in range(30):
        guide.follow(exact.log_joint_probs)
    elbo = -vds.elbo(model, guide)(*model.data)
    assert float(elbo.detach()) == pytest.approx(exact.elbo(guide))
    found = vds.estimate_evidence(model, vds.AutoCategorical(model), model.data, samples=3000)
    assert found.log_evidence == pytest.approx(exact.log_evidence, abs=0.15)
    tree = vds.to_datatree(model, guide, *model.data, draws=50)
    assert tree["architecture"]["log_q_op"].sizes == {"edge": 3, "op": 4}
    assert list(tree["architecture"]["edge"].values) == ["x", "y", "z"]
    mode = exact.log_joint_probs.argmax()
    assert model.space.architecture(int(mode))["op"] == tuple("abcd"[d] for d in torch.unravel_index(mode, (4, 4, 4)))


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vds.TabularModel(torch.zeros(2, 3)), "a dimension of equal size for each site, got shape .2, 3."),
        (lambda: vds.TabularModel(torch.full((2, 2), torch.nan)), "Expected a table of finite numbers"),
        (lambda: vds.TabularModel(torch.zeros(2, 2), options=("a",)), "Expected 2 labels of options"),
        (lambda: vds.AutoMixture(deep()), "Expected a model with a single axis, which has sites"),
        (lambda: vds.AutoMixture(vds.TabularModel(torch.zeros(2, 2)), 0), "Expected a positive number of components"),
        (lambda: frozen_fit(), "Expected parameters that learn, got none. With fixed weights the best guide needs no"),
    ],
)
def test_wrong_uses_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def deep():
    return vds.VDSModel(vds.ResidualMLP(2, 2, 4, 2), num_data=3)


def frozen_fit():
    model = vds.TabularModel(torch.zeros(2, 2))
    vds.fit(model, vds.AutoCategorical(model), model.data, max_epochs=2, guide_update="closed_form", progress=False)

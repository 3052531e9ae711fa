"""The ELBO over architectures with sites, its estimate from draws, and the evidence, against enumeration."""

import dataclasses
import itertools

import pyro
import pyro.poutine as poutine
import pytest
import sites
import torch
from pyro.infer import Predictive
from torch import nn

import pyro_vds as vds

PRICE = vds.priors.Weights(torch.tensor([0.0, -2.0]).double().softmax(0).tolist())


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


def test_the_listed_elbo_equals_pyros_enumeration_of_one_axis_an_edge():
    model, guide = sites.dense_model()
    network = sites.OneAxisAnEdge(model.backbone)
    other = vds.VDSModel(network, priors=PRICE, num_data=300)
    enumerated = vds.AutoCategorical(other)
    with torch.no_grad():
        for axis, logits in zip(other.axes, guide.logits["gate"], strict=True):
            enumerated.logits[axis].copy_(logits)
    x, y = sites.data()
    elbo = vds.elbo(model, guide)
    assert elbo.exact
    weights = list(model.backbone.parameters())
    one, two = elbo(x, y), vds.enum_elbo(other, enumerated)(x, y)
    torch.testing.assert_close(one, two, rtol=1e-10, atol=0)
    found = gradients(one, guide.logits["gate"], *weights)
    expected = gradients(two, *(enumerated.logits[axis] for axis in other.axes), *weights)
    torch.testing.assert_close(found[0], torch.stack(expected[:6]), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[1:], expected[6:], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prior", [vds.priors.Price(2.0), vds.priors.Exchangeable(1.0, 9.0)], ids=["price", "beta"])
def test_the_drawn_elbo_and_its_gradient_are_unbiased(prior):
    """Within three standard errors of the exact ones; the noise of one gradient as the prototypes measured it."""
    model, guide = sites.dense_model(prior=prior)
    x, y = sites.data()
    weight = model.backbone.stem[0].weight
    exact = vds.elbo(model, guide)(x, y)
    expected = [exact[None], *gradients(exact, guide.logits["gate"], weight)]
    estimate = vds.elbo(model, guide, samples=4)
    assert not estimate.exact
    torch.manual_seed(2)
    repeats = 1000
    found = []
    for _ in range(repeats):
        loss = estimate(x, y)
        found.append([loss.detach()[None], *gradients(loss, guide.logits["gate"], weight)])
    for values, truth in zip(zip(*found, strict=True), expected, strict=True):
        stacked = torch.stack(values)
        error = (stacked.mean(0) - truth.detach()).norm()
        noise = (stacked.var(0).sum() / repeats).sqrt()
        assert float(error.detach()) < 3 * float(noise.detach())
    logits = torch.stack([values[1] for values in found])
    assert float(logits.var(0).sum().sqrt() / expected[1].norm()) < 2.5


def test_a_leave_one_out_baseline_matters():
    """A bad control: the same scores without a baseline are many times noisier."""
    model, guide = sites.dense_model()
    x, y = sites.data()
    estimate = vds.elbo(model, guide, samples=4)
    torch.manual_seed(3)
    scores, plain = [], []
    for _ in range(200):
        scores.append(gradients(estimate(x, y), guide.logits["gate"])[0])
        drawn = guide.sample(4)
        cost = -estimate._log_likelihood((x, y), drawn).detach()
        plain.append(gradients((cost * guide.log_prob(drawn)).mean(), guide.logits["gate"])[0])
    sd = [torch.stack(rows).var(0).sum().sqrt() for rows in (scores, plain)]
    assert float(sd[1]) > 5 * float(sd[0])


def test_do_and_condition_and_predictive_work_on_sites():
    model, _ = sites.dense_model()
    x, y = sites.data()
    opened = torch.tensor([1, 0, 1, 1, 0, 1])
    expected = model.backbone.at(x, {"gate": opened[None]})[0]
    trace = poutine.trace(poutine.do(model, {"gate": opened})).get_trace(x, y)
    torch.testing.assert_close(trace.nodes["obs"]["fn"].logits, expected.log_softmax(-1))
    conditioned = poutine.trace(poutine.condition(model, {"gate": opened})).get_trace(x)
    latent = [n for n, s in conditioned.nodes.items() if s["type"] == "sample" and not s["is_observed"]]
    assert set(latent) - {"data", "edge"} == {"obs"}
    free = poutine.trace(model).get_trace(x)
    assert free.nodes["gate"]["value"].shape == (6,)
    assert [frame.name for frame in free.nodes["gate"]["cond_indep_stack"]] == ["edge"]
    pyro.set_rng_seed(0)
    for parallel in (False, True):
        draws = Predictive(model, num_samples=200, parallel=parallel)(x)
        assert draws["obs"].shape == (200, 30)
        opened_share = draws["gate"].double().reshape(200, 6).mean()
        assert float(opened_share) == pytest.approx(float(torch.tensor(2.0).neg().sigmoid()), abs=0.05)


def test_depth_and_gates_in_one_model():
    """Read out along one axis, drawn along the other; the exact sum by hand over both."""

    class GatedSteps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(5, 4).double() for _ in range(3))
            self.space = vds.Space([
                vds.Axis("depth", (0, 1, 2), nested=True),
                vds.Axis("gate", (False, True), vds.Plate("edge", 2), read_out=False),
            ])  # fmt: skip

        def at(self, x, architectures):
            gates = architectures["gate"].to(x)
            first = self.layers[0](x).expand(len(gates), -1, -1)
            rows = [gates[:, i, None, None] * layer(x) for i, layer in enumerate(self.layers[1:])]
            return torch.stack([first, *rows], 1).cumsum(1)

        def forward(self, x):
            return self.at(x, {"gate": torch.cartesian_prod(torch.arange(2), torch.arange(2))}).movedim(0, 1)

    torch.manual_seed(0)
    priors = {"depth": vds.priors.Geometric(0.5), "gate": vds.priors.Price(1.0)}
    model = vds.VDSModel(GatedSteps(), priors=priors, num_data=60)
    guide = vds.AutoCategorical(model)
    for logits in guide.parameters():
        nn.init.normal_(logits)
    x, y = sites.data()
    q_depth, q_gate = guide.probs()["depth"], guide.probs()["gate"]
    log_prior = {"depth": model.prior("depth").logits, "gate": torch.tensor([0.0, -1.0]).double().log_softmax(0)}
    expected = torch.zeros(())
    for depth, one, two in itertools.product(range(3), range(2), range(2)):
        q = q_depth[depth] * q_gate[0, one] * q_gate[1, two]
        logits = model.backbone.at(x, {"gate": torch.tensor([[one, two]])})[0, depth].log_softmax(-1)
        log_p = logits[torch.arange(30), y].sum() * 2
        log_p = log_p + log_prior["depth"][depth] + log_prior["gate"][one] + log_prior["gate"][two]
        expected = expected - q * (log_p - q.log())
    torch.testing.assert_close(vds.elbo(model, guide)(x, y), expected)
    torch.manual_seed(0)
    estimate = vds.elbo(model, guide, samples=8)
    values = torch.stack([estimate(x, y).detach() for _ in range(500)])
    expected = expected.detach()
    assert abs(float(values.mean() - expected)) < 3 * float(values.std() / 500**0.5)
    posterior = vds.exact_posterior(model, (x, y))
    assert posterior.log_likelihood.shape == (3, 4)
    estimated = vds.estimate_evidence(model, guide, (x, y), samples=4000)
    assert abs(estimated.elbo - float(posterior.elbo(guide))) < 4 * estimated.elbo_se
    assert estimated.log_evidence == pytest.approx(posterior.log_evidence, abs=0.2)


def test_the_evidence_is_estimated_with_its_error():
    model, guide = sites.dense_model(num_data=30)
    x, y = sites.data()
    exact = vds.exact_posterior(model, (x, y))
    guide.follow(exact.log_joint_probs)
    found = vds.estimate_evidence(model, guide, (x, y), samples=2000)
    assert abs(found.elbo - exact.elbo(guide)) < 4 * found.elbo_se
    assert exact.elbo(guide) < found.log_evidence < exact.log_evidence + 0.2
    assert not found.khat > 0.7
    assert "(estimate: 2000 of 64 architectures)" in str(found)
    for site in guide.logits["gate"].detach():  # a guide far from the posterior
        site.copy_(torch.tensor([3.0, -3.0]))
    bad = vds.estimate_evidence(model, guide, (x, y), samples=2000)
    assert abs(bad.elbo - exact.elbo(guide)) < 4 * bad.elbo_se
    assert "unreliable: Pareto k 0.90 above 0.7" in str(dataclasses.replace(bad, khat=0.9))
    with pytest.raises(ValueError, match="Expected axes with sites and at least 2 samples"):
        vds.estimate_evidence(model, guide, (x, y), samples=1)


def test_predictions_from_draws_come_near_the_exact_mixture():
    model, guide = sites.dense_model()
    x, _ = sites.data()
    exact = vds.predict_proba(model, guide, x)
    few, weights = vds.drawn(model, guide, samples=4000, seed=1)
    estimate = vds.predict_proba(few, weights, x)
    torch.testing.assert_close(estimate, exact, rtol=0, atol=0.02)
    again = vds.predict_proba(*vds.drawn(model, guide, samples=4000, seed=1), x)
    assert torch.equal(estimate, again)
    by_hand = model.backbone(x).softmax(-1)
    torch.testing.assert_close(exact, torch.einsum("a,anc->nc", guide.joint_probs(), by_hand).detach())


def test_too_many_architectures_are_refused_with_a_remedy():
    torch.manual_seed(0)
    network = vds.connectivity((5,), 4, layers=8, channels=3).double()
    model = vds.VDSModel(network, priors=vds.priors.Price(1.0), num_data=30)
    guide = vds.AutoCategorical(model)
    x, y = sites.data()
    for call, remedy in (
        (lambda: vds.elbo(model, guide), "for an exact sum, got 3.5e13. Pass samples=4"),
        (lambda: vds.exact_posterior(model, (x, y)), "got 3.5e13. Draw some with pyro_vds.drawn"),
        (lambda: vds.predict_proba(model, guide, x), "got 3.5e13. Draw some with pyro_vds.drawn"),
        (lambda: guide.joint_probs(), "for a table of probabilities, got 3.5e13. Use guide.probs"),
        (lambda: vds.fit(model, guide, (x, y), max_epochs=1), "Pass samples=4"),
    ):
        with pytest.raises(ValueError, match=remedy):
            call()
    history = vds.fit(model, guide, (x, y), validation=(x, y), max_epochs=3, samples=4, progress=False)
    assert history.gap.isnan().all()
    assert history.elbo.isfinite().all()
    assert history.kl[0] > 0  # of independent gates it is exact
    assert vds.predict_proba(*vds.drawn(model, guide, samples=8), x).shape == (30, 4)
    small = vds.prune(model, guide, **guide.mode())
    entries = torch.tensor([[int(gate) for gate in guide.mode()["gate"]]])
    torch.testing.assert_close(small(x), network.at(x, {"gate": entries})[0].log_softmax(-1).detach())


@pytest.mark.usefixtures("as_a_user")
def test_wrong_uses_are_refused():
    model, guide = sites.dense_model()
    with pytest.raises(ValueError, match="Expected at least 2 samples, each a baseline of the other, got 1"):
        vds.elbo(model, guide, samples=1)
    plain = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 2), num_data=5)
    with pytest.raises(ValueError, match=r"Expected axes with sites to draw samples of, got \['depth'\]"):
        vds.elbo(plain, vds.AutoCategorical(plain), samples=4)
    for kind in (vds.AutoJointCategorical, vds.AutoConditionalCategorical):
        with pytest.raises(ValueError, match=rf"Expected axes without sites for {kind.__name__}, got \['gate'\]"):
            kind(model)
    with pytest.raises(ValueError, match="without replicates and without plate=DATA"):
        vds.VDSModel(model.backbone, priors=vds.priors.Price(1.0), num_data=3, plate=vds.DATA)
    with pytest.raises(ValueError, match="guide_update='gradient' and weight_floor=0, which need no table"):
        vds.TrainingConfig(samples=4, guide_update="closed_form")
    with pytest.raises(ValueError, match="in closed form anneal_epochs does the same"):
        vds.TrainingConfig(guide_from=3, guide_update="closed_form")

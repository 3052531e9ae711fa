"""The ELBO against a plain loop over depths, value and gradient."""

import math

import oracles
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from pyro.nn import PyroModule
from pyro.ops.indexing import Vindex
from torch.fx.experimental.proxy_tensor import make_fx

import pyro_vds as vds
from pyro_vds.infer.enumerated import DenseEnumELBO

DEPTHS = [0, 1, 4]


class TwoAxes(torch.nn.Module):
    """A network with axes that the package has never heard of."""

    space = vds.Space([vds.Axis("depth", (0, 1, 2), nested=True), vds.Axis("colour", ("red", "blue"))])

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 2, 2, 4))

    def forward(self, x):
        return torch.einsum("ijfc,nf->ijnc", self.weight, x)


def reference(model, guide, x, y):
    log_probs = oracles.log_probs(oracles.outputs(model.backbone, x), y)
    log_q = guide.logits["depth"].log_softmax(-1)
    log_prior = oracles.prior(0.7, len(log_q)).log()
    return oracles.elbo(log_probs, log_q, log_prior, model.num_data)


@pytest.mark.parametrize("max_depth", DEPTHS)
@pytest.mark.parametrize("batch", [slice(None), slice(0, 5)], ids=["full", "batch"])
def test_value_and_gradients_equal_brute_force(max_depth, batch):
    model, guide, x, y = oracles.problem(max_depth)
    x, y = x[batch], y[batch]
    parameters = [*model.parameters(), *guide.parameters()]
    loss = vds.enum_elbo(model, guide)(x, y)
    expected = -reference(model, guide, x, y)
    torch.testing.assert_close(loss, expected)
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(expected, parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_mean_over_equal_batches_is_the_full_value():
    model, guide, x, y = oracles.problem(4)
    model.eval()
    elbo = vds.enum_elbo(model, guide).eval()
    parts = [elbo(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    torch.testing.assert_close(torch.stack(parts).mean(), elbo(x, y))


@pytest.mark.parametrize("max_depth", DEPTHS)
def test_guide_at_the_exact_posterior_has_zero_gradient_and_elbo_is_the_evidence(max_depth):
    model, guide, x, y = oracles.problem(max_depth)
    model.eval()
    exact = vds.exact_posterior(model, (x, y))
    guide.set_probs(exact.probs)
    loss = vds.enum_elbo(model, guide).eval()(x, y)
    gradient = torch.autograd.grad(loss, guide.logits["depth"])[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)
    assert -float(loss.detach()) == pytest.approx(exact.log_evidence, abs=1e-10)


def test_away_from_the_posterior_the_gradient_is_not_zero():
    model, guide, x, y = oracles.problem(4)
    loss = vds.enum_elbo(model, guide)(x, y)
    assert torch.autograd.grad(loss, guide.logits["depth"])[0].abs().max() > 1e-3


def test_regression_equals_brute_force():
    torch.manual_seed(1)
    net = vds.ResidualMLP(2, 1, width=4, max_depth=2)
    model = vds.VDSModel(net, priors=vds.priors.Geometric(0.7), likelihood=vds.likelihoods.Gaussian(), num_data=6)
    guide = vds.AutoCategorical(model)
    x, y = torch.randn(6, 2), torch.randn(6)
    torch.testing.assert_close(vds.enum_elbo(model, guide)(x, y), -reference(model, guide, x, y))


def test_deterministic_network_has_the_scaled_negative_log_likelihood():
    net = vds.ResidualMLP(2, 3, width=4, max_depth=2, readout="last")
    model = vds.VDSModel(net, num_data=10)
    x, y = torch.randn(5, 2), torch.randint(0, 3, (5,))
    expected = torch.nn.functional.cross_entropy(net(x), y, reduction="sum") * 2
    torch.testing.assert_close(vds.enum_elbo(model)(x, y), expected)


def test_network_runs_once_a_step():
    model, guide, x, y = oracles.problem(2)
    elbo = vds.enum_elbo(model, guide)
    elbo(x, y)
    calls = []
    handle = model.backbone.register_forward_hook(lambda *_: calls.append(1))
    elbo(x, y)
    handle.remove()
    assert len(calls) == 1
    assert int(model.backbone.blocks[0][2].num_batches_tracked) == 2


def test_two_axes_equal_brute_force():
    net = TwoAxes()
    colour = dist.Categorical(probs=torch.tensor([0.3, 0.7]))
    model = vds.VDSModel(net, priors={"depth": vds.priors.Uniform(), "colour": colour}, num_data=8)
    guide = vds.AutoCategorical(model)
    for logits in guide.parameters():
        torch.nn.init.normal_(logits)
    x, y = torch.randn(5, 2), torch.randint(0, 4, (5,))
    q = guide.probs()
    expected = torch.zeros(())
    for i in range(3):
        for j in range(2):
            q_ij, p_ij = q["depth"][i] * q["colour"][j], colour.probs[j] / 3
            log_prob = -torch.nn.functional.cross_entropy(net(x)[i, j], y, reduction="sum")
            expected += q_ij * (8 / 5 * log_prob - q_ij.log() + p_ij.log())
    torch.testing.assert_close(vds.enum_elbo(model, guide)(x, y), -expected)
    exact = vds.exact_posterior(model, (x, y))
    assert exact.probs["depth"].shape == (3,)
    assert float(exact.probs["colour"].sum()) == pytest.approx(1)
    probs = vds.predict_proba(model, guide, x)
    torch.testing.assert_close(
        probs, torch.einsum("i,j,ijnc->nc", q["depth"], q["colour"], net(x).softmax(-1)).detach()
    )
    with pytest.raises(TypeError, match=r"Expected a backbone with a method restrict\(\).* got TwoAxes"):
        vds.prune(model, guide, depth=1)


def assert_equal_to_pyros(model, guide, *batch):
    """Value and gradients are those of ``TraceEnum_ELBO``."""
    parameters = [*model.parameters(), *guide.parameters()]
    ours = vds.enum_elbo(model, guide)(*batch)
    theirs = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)(model, guide)(*batch)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(loss, parameters) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("batch", [slice(None), slice(0, 5)], ids=["full", "batch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("underflow", [False, True])
def test_value_and_gradients_equal_trace_enum_elbo(batch, dtype, underflow):
    model, guide, x, y = oracles.problem(3)
    if underflow:
        guide.logits["depth"].data[1] = -1000.0
        assert guide.probs()["depth"][1] == 0
    assert_equal_to_pyros(model.to(dtype), guide.to(dtype), x[batch].to(dtype), y[batch])


def test_value_and_gradients_equal_trace_enum_elbo_with_two_axes():
    model = vds.VDSModel(TwoAxes(), priors=vds.priors.Uniform(), num_data=8)
    guide = vds.AutoCategorical(model)
    for logits in guide.parameters():
        torch.nn.init.normal_(logits)
    guide.logits["colour"].data[0] = -1000.0
    assert_equal_to_pyros(model, guide, torch.randn(5, 2), torch.randint(0, 4, (5,)))


def test_value_and_gradients_equal_trace_enum_elbo_without_axes():
    model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2, readout="last"), num_data=10)
    assert_equal_to_pyros(model, vds.AutoCategorical(model), torch.randn(5, 2), torch.randint(0, 3, (5,)))


def test_axes_that_the_guide_samples_in_another_order_equal_brute_force():
    """Pyro enumerates them in other dimensions then."""
    model = vds.VDSModel(TwoAxes(), priors=vds.priors.Geometric(0.5), num_data=5)
    guide = vds.AutoCategorical(model)
    for logits in guide.parameters():
        torch.nn.init.normal_(logits)

    class Reversed(PyroModule):
        def forward(self, x=None, y=None):
            for axis in ("colour", "depth"):
                pyro.sample(axis, dist.Categorical(logits=guide.logits[axis]), infer={"enumerate": "parallel"})

    class WithAnother(PyroModule):
        def forward(self, x=None, y=None):
            pyro.sample("other", dist.Bernoulli(0.3), infer={"enumerate": "parallel", "is_auxiliary": True})
            guide(x, y)

    x, y = torch.randn(5, 2), torch.randint(0, 4, (5,))
    expected = vds.enum_elbo(model, guide)(x, y)
    log_probs = -torch.nn.functional.cross_entropy(
        model.backbone(x).flatten(0, 1).movedim(-1, 1), y.expand(6, -1), reduction="none"
    ).sum(1)
    log_q, log_prior = guide.joint_log_probs().flatten(), model.log_prior().flatten()
    torch.testing.assert_close(expected, -(log_q.exp() * (log_probs + log_prior - log_q)).sum())
    for other in (Reversed(), WithAnother()):
        entropy = -sum(p * math.log(p) for p in (0.3, 0.7)) if isinstance(other, WithAnother) else 0.0
        torch.testing.assert_close(vds.enum_elbo(model, other)(x, y) + entropy, expected)


def test_a_local_latent_in_the_plate_equals_trace_enum_elbo():
    """A guide that gives each point a depth of its own: the sum runs within the plate."""
    model, _, x, y = oracles.problem(2)

    class LocalModel(PyroModule):
        def forward(self, x, y=None):
            outputs = model.backbone(x)
            with pyro.plate("data", 12, subsample=torch.arange(len(x))) as points:
                depth = pyro.sample("depth", dist.Categorical(logits=torch.zeros(3)))
                logits = Vindex(outputs)[depth, points]
                pyro.sample("obs", dist.Categorical(logits=logits), obs=y)

    class LocalGuide(PyroModule):
        def forward(self, x, y=None):
            with pyro.plate("data", 12, subsample=torch.arange(len(x))):
                logits = torch.stack([x[:, 0], x[:, 1], x.sum(1)], 1)
                pyro.sample("depth", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})

    local, guide = LocalModel(), LocalGuide()
    ours = DenseEnumELBO(max_plate_nesting=1).differentiable_loss(local, guide, x[:4], y[:4])
    theirs = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(local, guide, x[:4], y[:4])
    torch.testing.assert_close(ours, theirs)


def test_the_step_can_be_traced():
    """``make_fx`` in fake mode raises wherever the host looks at a value; Pyro's own loss is the control."""
    model, guide, x, y = oracles.problem(2)
    elbo = vds.enum_elbo(model, guide)
    elbo.check(x, y)
    names = dict(elbo.named_parameters()) | dict(elbo.named_buffers())
    buffers = dict(elbo.named_buffers())

    def gradient(tensors, x, y):
        loss = torch.func.functional_call(elbo, tensors, (x, y))
        return torch.autograd.grad(loss, [t for name, t in tensors.items() if name not in buffers])

    graph = make_fx(gradient, tracing_mode="fake", _allow_non_fake_inputs=True)(names, x, y)
    for one, other in zip(graph(names, x, y), gradient(names, x, y), strict=True):
        torch.testing.assert_close(one, other)

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.guide = model, guide

        def forward(self, x, y):
            return TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(self.model, self.guide, x, y)

    elbo = Theirs()
    with pytest.raises(RuntimeError):
        make_fx(gradient, tracing_mode="fake", _allow_non_fake_inputs=True)(names, x, y)


def test_the_bound_has_the_log_likelihood_of_each_architecture():
    network, (x, y) = TwoAxes(), (torch.randn(6, 2), torch.randint(4, (6,)))
    model = vds.VDSModel(network, num_data=30)
    bound = vds.enum_elbo(model, vds.AutoJointCategorical(model)).bound(x, y)
    log_probs = network(x).log_softmax(-1)
    expected = log_probs.gather(-1, y.expand(3, 2, -1)[..., None])[..., 0].sum(-1) * 30 / 6
    torch.testing.assert_close(bound.log_likelihood, expected)
    copies = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 4, width=3, max_depth=2), 2), num_data=30)
    copies.eval()
    shared = copies.shared(x), copies.shared(y)
    bound = vds.enum_elbo(copies, vds.AutoCategorical(copies)).bound(*shared)
    for r, (single, _) in enumerate(vds.replicates(copies, vds.AutoCategorical(copies))):
        expected = vds.exact_posterior(single, (x, y)).log_likelihood * 5
        torch.testing.assert_close(bound.log_likelihood[r].double(), expected, rtol=1e-5, atol=1e-5)


def test_guide_of_the_users_own_without_enumeration_is_refused():
    model, _, x, y = oracles.problem(1)

    class Sampled(PyroModule):
        def forward(self, x=None, y=None):
            return pyro.sample("depth", dist.Categorical(logits=torch.zeros(2)))

    with pytest.raises(ValueError, match='infer={"enumerate": "parallel"}'):
        vds.enum_elbo(model, Sampled())(x, y)


def test_guide_with_a_sampled_site_besides_is_refused():
    model, guide, x, y = oracles.problem(1)

    class Besides(PyroModule):
        def forward(self, x=None, y=None):
            pyro.sample("coin", dist.Bernoulli(0.5), infer={"is_auxiliary": True})
            return guide(x, y)

    with pytest.raises(ValueError, match=r"enumerated in parallel or reparameterised, got the sites \['coin'\]"):
        vds.enum_elbo(model, Besides())(x, y)


def test_missing_guide_is_refused():
    model, *_ = oracles.problem(1)
    with pytest.raises(ValueError, match=r"Expected a guide for the model's axes \['depth'\]"):
        vds.enum_elbo(model, None)


def test_float32():
    torch.set_default_dtype(torch.float32)
    model, guide, x, y = oracles.problem(4)
    loss = vds.enum_elbo(model, guide)(x, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, -reference(model, guide, x, y), rtol=1e-5, atol=1e-5)
    torch.set_default_dtype(torch.float64)


def test_first_call_checks_the_data_and_every_call_the_lengths():
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(ValueError, match=r"Expected labels in 0\.\.2"):
        vds.enum_elbo(model, guide)(x, y + 1)
    elbo = vds.enum_elbo(model, guide)
    elbo(x, y)
    with pytest.raises(
        ValueError,
        match=r"Expected as many targets as inputs, got inputs of shape \(12, 2\) and targets of shape \(1,\)",
    ):
        elbo(x, y[:1])


def test_guide_of_other_sizes_is_refused():
    model, _, x, y = oracles.problem(1)
    _, other, *_ = oracles.problem(2)
    with pytest.raises(ValueError, match=r"Expected a guide for axes \('depth',\) of sizes \(2,\), got sizes \(3,\)"):
        vds.enum_elbo(model, other)(x, y)

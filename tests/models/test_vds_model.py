"""The model under Pyro's own tools."""

import oracles
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDiscreteParallel

import pyro_vds as vds
from pyro_vds.infer.weigher import weigher


def net(max_depth=2):
    return vds.ResidualMLP(2, 3, width=4, max_depth=max_depth)


def test_sites_plate_and_scale():
    model, _, x, y = oracles.problem(2)
    trace = poutine.trace(model).get_trace(x[:4], y[:4])
    assert [n for n, s in trace.nodes.items() if s["type"] == "sample"] == ["depth", "data", "obs"]
    assert trace.nodes["obs"]["is_observed"]
    assert trace.nodes["obs"]["scale"] == pytest.approx(12 / 4)
    assert trace.nodes["obs"]["cond_indep_stack"][0].name == "data"


def test_conditioning_on_a_depth_gives_that_depth():
    model, _, x, y = oracles.problem(2)
    model.eval()
    for depth in range(3):
        conditioned = poutine.condition(model, {"depth": torch.tensor(depth)})
        trace = poutine.trace(conditioned).get_trace(x, y)
        log_prob = trace.nodes["obs"]["fn"].log_prob(y)
        torch.testing.assert_close(log_prob, oracles.log_probs(model.backbone(x), y)[depth])


def test_predictive_draws_depth_from_the_guide_and_targets_from_the_network():
    model, guide, x, _ = oracles.problem(2)
    model.eval()
    draws = Predictive(model, guide=guide, num_samples=2000)(x)
    assert draws["obs"].shape == (2000, 12)
    frequency = torch.bincount(draws["depth"].flatten(), minlength=3) / 2000
    torch.testing.assert_close(frequency, guide.probs()["depth"], atol=0.05, rtol=0)
    frequency = torch.nn.functional.one_hot(draws["obs"], 3).double().mean(0)
    torch.testing.assert_close(frequency, vds.predict_proba(model, guide, x), atol=0.06, rtol=0)


def test_more_test_points_than_training_points_can_be_predicted():
    model, guide, x, _ = oracles.problem(1)
    model.eval()
    assert Predictive(model, guide=guide, num_samples=2)(x.repeat(3, 1))["obs"].shape == (2, 36)


def test_auto_discrete_parallel_reaches_the_exact_posterior():
    model, _, x, y = oracles.problem(2)
    model.eval()
    guide = AutoDiscreteParallel(model)
    guide(x, y)
    elbo = vds.enum_elbo(model, guide)
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.1)
    for _ in range(600):
        optimizer.zero_grad()
        elbo(x, y).backward()
        optimizer.step()
    exact = vds.exact_posterior(model, (x, y))
    assert -float(elbo(x, y).detach()) == pytest.approx(exact.log_evidence, abs=1e-3)
    pyro.clear_param_store()  # Pyro's own guide registers there


def test_model_side_enumeration_gives_the_log_evidence():
    model, _, x, y = oracles.problem(3)
    model.eval()
    loss = TraceEnum_ELBO(max_plate_nesting=1)(config_enumerate(model), lambda *_: None)
    expected = vds.exact_posterior(model, (x, y)).log_evidence
    assert -float(loss.elbo.differentiable_loss(loss.model, loss.guide, x, y).detach()) == pytest.approx(expected)


def test_parameters_stay_out_of_the_global_store():
    model, guide, x, y = oracles.problem(1)
    vds.enum_elbo(model, guide)(x, y)
    Predictive(model, guide=guide, num_samples=2)(x)
    poutine.trace(model).get_trace(x, y)
    assert not list(pyro.get_param_store().keys())


def test_default_prior_is_the_papers():
    model = vds.VDSModel(net(), num_data=5)
    torch.testing.assert_close(model.prior("depth").probs, oracles.prior(0.85, 3))
    torch.testing.assert_close(model.log_prior(), oracles.prior(0.85, 3).log())


def test_state_dict_holds_weights_priors_and_moves_between_models():
    one = vds.VDSModel(net(), priors=vds.priors.Poisson(2.0), num_data=5)
    other = vds.VDSModel(net(), num_data=5)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.prior("depth").probs, one.prior("depth").probs)
    x = torch.randn(4, 2)
    torch.testing.assert_close(other.eval().backbone(x), one.eval().backbone(x))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_data": 0}, "Expected num_data, the number of training points, to be positive; got 0"),
        (
            {"num_data": 5, "priors": {"width": vds.priors.Uniform()}},
            r"priors for the axes \['depth'\], got \['width'\]",
        ),
        (
            {"num_data": 5, "priors": {"depth": vds.priors.Uniform(), "width": vds.priors.Uniform()}},
            r"got \['depth', 'width'\]. Give one prior for each axis",
        ),
        ({"num_data": 5, "priors": {}}, r"priors for the axes \['depth'\], got \[\]"),
        ({"num_data": 5, "priors": vds.priors.Weights((0.5, 0.5))}, "Expected 3 probs, one for each entry"),
        ({"num_data": 5, "priors": dist.Categorical(torch.ones(4))}, "Expected a prior of 3 probabilities"),
    ],
)
def test_bad_arguments_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        vds.VDSModel(net(), **how)


def test_a_network_without_axes_is_refused():
    with pytest.raises(
        TypeError, match="a pyro_vds.Space as attribute 'space', got Linear. Wrap stem, blocks and head"
    ):
        vds.VDSModel(torch.nn.Linear(2, 2), num_data=5)
    wrong = torch.nn.Linear(2, 2)
    wrong.space = vds.Space([vds.Axis("gate", (0, 1), read_out=False)])
    with pytest.raises(ValueError, match="Expected axes that are read out or have sites, Plate"):
        vds.VDSModel(wrong, num_data=5)
    wrong.space = vds.Space([vds.Axis("gate", (0, 1), plate=vds.Plate("edge", 3), read_out=False)])
    with pytest.raises(TypeError, match=r"Expected a backbone with at\(x, architectures\) for the axes with sites"):
        vds.VDSModel(wrong, num_data=5)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_data": 5.0}, "Expected num_data, the number of training points, as an int; got 5.0"),
        ({"num_data": float("nan")}, "as an int; got nan"),
        ({"num_data": True}, "as an int; got True"),
        ({"num_data": 5, "likelihood": torch.nn.Identity()}, r"Expected a likelihood such as .*, got Identity\(\)"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(how, message):
    with pytest.raises(TypeError, match=message):
        vds.VDSModel(net(), **how)


def test_prior_has_the_type_of_the_weights():
    model = vds.VDSModel(net().float(), num_data=5)
    assert model.prior("depth").probs.dtype == torch.float32


def test_a_plain_network_predicts_where_its_weights_are():
    """The empty guide knows no device; ``meta`` stands for any device but the CPU."""
    model = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 1, readout="last"), num_data=5).to("meta")
    assert weigher(model, None)(torch.zeros(1))("posterior").device.type == "meta"
    assert model.log_prior().device.type == "meta"

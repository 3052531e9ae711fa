"""Networks and models of settings: weights by the seed alone, shapes by the data, repeats side by side."""

import pytest
import torch

import pyro_vds as vds
from pyro_vds.backbones.residual import ResidualConvNet, ResidualMLP
from pyro_vds.runs.build import build, build_backbone, priors_of, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.settings import Settings


@pytest.mark.parametrize("shape", [(3,), (1, 8, 8)])
def test_weights_follow_the_seed(shape):
    nets = [
        build_backbone(Settings(seed=seed, max_depth=2, channels=4, bottleneck=2), shape, 2).state_dict()
        for seed in (1, 1, 2)
    ]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert not all(torch.equal(nets[0][name], nets[2][name]) for name in nets[0])


@pytest.mark.parametrize(("shape", "kind"), [((3,), ResidualMLP), ((1, 8, 8), ResidualConvNet)])
def test_the_shape_of_an_input_chooses_the_network(shape, kind):
    settings = Settings(max_depth=3, channels=4, bottleneck=2, width=5)
    net = build_backbone(settings, shape, 7).eval()
    assert type(net) is kind
    assert net(torch.zeros(2, *shape)).shape == (4, 2, 7)


def test_readout_last_builds_a_network_without_a_depth_axis():
    net = build_backbone(Settings(max_depth=3, readout="last"), (3,), 7)
    assert tuple(net.space) == ()
    assert net(torch.zeros(2, 3)).shape == (2, 7)


def test_network_without_max_depth_has_the_data_sets_default():
    assert build_backbone(Settings(data="npz"), (3,), 2).space.sizes == (11,)


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    settings = Settings(num_points=100, max_depth=2, seed=5)
    load_data(settings)
    build_backbone(settings, (2,), 2)
    assert torch.equal(torch.get_rng_state(), before)


SMALL = {"num_points": 60, "max_depth": 2, "width": 4}


def test_each_axis_has_its_prior():
    settings = Settings(prior=vds.priors.Poisson(2.0), width_prior=vds.priors.Geometric(0.5))
    assert priors_of(settings, ("width", "depth")) == {"width": settings.width_prior, "depth": settings.prior}
    assert priors_of(settings, ()) == {}


@pytest.mark.parametrize(
    "change", [{}, {"readout": "last"}, {"widths": (2, 4), "guide": "conditional"}, {"data": "diabetes"}]
)
def test_repeats_are_the_networks_that_their_seeds_make(change):
    settings = Settings(**SMALL | change, seed=3)
    summary = DataSummary.of(load_data(settings))
    together = vds.replicates(*build(settings, summary, repeats=2))
    for seed, (model, guide) in enumerate(together, start=3):
        alone, its_guide = build(Settings(**SMALL | change, seed=seed), summary)
        torch.testing.assert_close(dict(model.state_dict()), dict(alone.state_dict()))
        assert type(guide) is type(its_guide)
        assert (model.axes, model.sizes, model.coords) == (alone.axes, alone.sizes, alone.coords)
        assert model.priors == alone.priors


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"learn_prior": True}, "Expected learn_prior=False for replicates"),
        ({"guide": "per_input"}, "Expected the guide independent, conditional or joint to train repeats"),
    ],
)
def test_what_repeats_cannot_do_is_refused(change, expected):
    settings = Settings(**SMALL | change)
    with pytest.raises(ValueError, match=expected):
        build(settings, DataSummary.of(load_data(settings)), repeats=2)


FROZEN = {
    "data": "digits",
    "network": "vit",
    "channels": 16,
    "max_depth": 2,
    "train_size": 60,
    "max_epochs": 3,
    "frozen": True,
}


def test_heads_behind_frozen_layers_learn_from_stored_features_as_through_the_layers(monkeypatch):
    """The same numbers, and the frozen layers see each input once."""
    settings = Settings(**FROZEN).resolved()
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    other, its_guide = build(settings, DataSummary.of(data))
    expected = vds.fit(other, its_guide, data.train, validation=data.validation, progress=False, config=settings)
    seen = []
    hook = model.backbone.stem.register_forward_hook(lambda _, __, tokens: seen.append(len(tokens)))
    history = train(settings, model, guide, data, progress=False)
    hook.remove()
    assert sum(seen) == len(data.train[0]) + len(data.validation[0]) + 2  # the first point of both tells the shapes
    assert history.elbo == pytest.approx(expected.elbo, rel=1e-4)
    torch.testing.assert_close(dict(model.state_dict()), dict(other.state_dict()), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(guide.probs()["depth"], its_guide.probs()["depth"], rtol=1e-4, atol=1e-5)
    # Without memory for the features, training goes through the layers.
    monkeypatch.setattr("pyro_vds.backbones.probing.available_memory", lambda device: 100)
    through, its_guide = build(settings, DataSummary.of(data))
    assert train(settings, through, its_guide, data, progress=False).elbo == pytest.approx(expected.elbo)

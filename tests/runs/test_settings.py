"""Settings: defaults of each data set, explicit values first, weights and data drawn by the seed alone."""

from functools import partial

import pytest
import torch

from pyro_vds import priors
from pyro_vds.backbones.residual import ResidualConvNet, ResidualMLP
from pyro_vds.runs.settings import Settings

DEFAULTS = {
    "spirals": (20, 8000, 500, (), 0.0, 512, 0.1),
    "digits": (8, 60, 15, (), 0.1, 128, 0.1),
    "diabetes": (5, 500, 60, (), 0.1, 64, 0.01),
    "gap_1d": (5, 3000, 300, (), 0.0, 512, 0.01),
    "mnist": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "fashion_mnist": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "svhn": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "uci": (5, 500, 60, (), 0.1, 64, 0.01),
    "npz": (10, 1000, 100, (), 0.0, 512, 0.1),
}
NAMES = ("max_depth", "max_epochs", "patience", "milestones", "validation_fraction", "batch_size", "lr")


@pytest.mark.parametrize("name", DEFAULTS)
def test_resolved_fills_in_the_defaults_of_the_data_set(name):
    settings = Settings(data=name).resolved()
    assert tuple(getattr(settings, field) for field in NAMES) == DEFAULTS[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_resolved_keeps_explicit_values(name):
    values = {"max_depth": 0, "max_epochs": 1, "patience": 2, "milestones": (), "validation_fraction": 0.0}
    settings = Settings(data=name, batch_size=3, lr=0.7, momentum=0.9, weight_decay=0.1, **values)
    assert settings.resolved() == settings


def test_resolved_twice_is_resolved_once():
    settings = Settings(data="digits").resolved()
    assert settings.resolved() == settings


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_weight_decay_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=f"Expected a finite weight_decay of at least 0, got {value}"):
        Settings(weight_decay=value)


@pytest.mark.parametrize("value", [(0,), (-3, 5), (5, 5), (7, 3), (2.5,), (True,)])
def test_milestones_that_do_not_increase_from_one_are_refused(as_a_user, value):
    with pytest.raises(
        ValueError, match=r"Expected milestones as increasing numbers of epochs, 1 or more each, got \["
    ):
        Settings(milestones=value)


def test_the_prior_is_the_papers_unless_given():
    assert Settings().prior == priors.Geometric(0.85)


@pytest.mark.parametrize("shape", [(3,), (1, 8, 8)])
def test_weights_follow_the_seed(shape):
    nets = [
        Settings(seed=seed, max_depth=2, channels=4, bottleneck=2).build_backbone(shape, 2).state_dict()
        for seed in (1, 1, 2)
    ]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert not all(torch.equal(nets[0][name], nets[2][name]) for name in nets[0])


@pytest.mark.parametrize(("shape", "kind"), [((3,), ResidualMLP), ((1, 8, 8), ResidualConvNet)])
def test_the_shape_of_an_input_chooses_the_network(shape, kind):
    settings = Settings(max_depth=3, channels=4, bottleneck=2, width=5)
    net = settings.build_backbone(shape, 7).eval()
    assert type(net) is kind
    assert net(torch.zeros(2, *shape)).shape == (4, 2, 7)


def test_readout_last_builds_a_network_without_a_depth_axis():
    net = Settings(max_depth=3, readout="last").build_backbone((3,), 7)
    assert net.axes == ()
    assert net(torch.zeros(2, 3)).shape == (2, 7)


def test_network_without_max_depth_has_the_data_sets_default():
    assert Settings(data="npz").build_backbone((3,), 2).sizes == (11,)


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    settings = Settings(num_points=100, max_depth=2, seed=5)
    settings.load_data()
    settings.build_backbone((2,), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_data_follow_the_seed_and_the_settings():
    first, again, other = (Settings(num_points=100, train_fraction=0.3, seed=s).load_data() for s in (1, 1, 2))
    assert len(first.train[0]) == 30
    assert torch.equal(first.train[0], again.train[0])
    assert not torch.equal(first.train[0], other.train[0])


def test_rotation_and_noise_reach_the_spirals():
    data = Settings(num_points=100, rotation=90.0, noise=0.0).load_data()
    points = torch.cat([data.train[0], data.test[0]]) * data.std + data.mean
    assert 1.4 < points.norm(dim=1).max() < 1.5708


def test_train_size_and_validation_reach_the_digits():
    data = Settings(data="digits", train_size=100).load_data()
    assert data.validation is not None
    assert (len(data.train[0]), len(data.validation[0])) == (90, 10)


def test_npz_needs_a_path():
    with pytest.raises(ValueError, match="Expected --data-path FILE.npz for the data set npz, got none"):
        Settings(data="npz").load_data()


def test_image_sets_are_looked_for_in_the_data_root(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("the test has no network")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(FileNotFoundError, match=f"Expected the files {tmp_path}/MNIST/raw/train-images-idx3-ubyte.gz"):
        Settings(data="mnist", data_root=str(tmp_path)).load_data()


def test_another_optimiser_keeps_its_own_rate_and_another_schedule_has_no_milestones():
    adam = Settings(data="diabetes", optimizer=torch.optim.Adam).resolved()
    assert (adam.lr, adam.momentum, adam.weight_decay) == (None, None, None)
    assert Settings(data="diabetes").resolved().momentum == 0.5
    cosine = Settings(data="mnist", scheduler=partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=9)).resolved()
    assert cosine.milestones == ()
    assert cosine.lr == 0.1

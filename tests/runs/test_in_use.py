"""The settings that a page lists: those that are left out change nothing, neither data nor network nor training."""

from dataclasses import fields, replace

import pytest
import torch

import pyro_vds as vds
from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.in_use import settings_in_use
from pyro_vds.runs.settings import Settings

BRIEF = {"num_points": 40, "width": 4, "channels": 4, "bottleneck": 2, "max_depth": 2, "max_epochs": 2}
CASES = {
    "spirals": Settings(data="spirals", **BRIEF),
    "plain": Settings(data="spirals", readout="last", **BRIEF),
    "gradient": Settings(data="spirals", preset="paper", patience=1, milestones=(1,), **BRIEF),
    "images": Settings(data="digits", train_size=40, **BRIEF),
    "graph": Settings(data="digits", train_size=40, network="connectivity", layers=1, channels=2, max_epochs=2),
}
OTHERS = {
    "data_root": "elsewhere", "data_path": "other.npz", "uci_name": "yacht", "split": 3, "num_points": 60,
    "train_fraction": 0.5, "rotation": 90.0, "noise": 0.5, "noise_kind": "uniform", "width": 7, "channels": 6,
    "bottleneck": 3, "prior": vds.priors.Uniform(), "width_prior": vds.priors.Geometric(),
    "guide_lr": 0.5, "guide_from": 1, "anneal_start": "uniform", "gamma": 0.3, "averaging_decay": 0.5,
    "averaging_start": 1, "patience": 7, "threshold": 0.3, "tempered_num_data": 3.0, "anneal_epochs": 1,
    "block_rate": "paper", "weight_floor": 0.7, "head_statistics": "shared", "recalibrate": True,
}  # fmt: skip


def trained(settings):
    torch.manual_seed(0)
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    train(settings, model, guide, data, device=torch.device("cpu"), progress=False)
    weights = [p.detach().clone() for module in (model.backbone, guide) for p in module.parameters()]
    return data, torch.cat([p.flatten() for p in weights])


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", CASES)
def test_settings_that_are_left_out_change_nothing(name):
    settings = CASES[name].resolved()
    data, weights = trained(settings)
    listed = settings_in_use(settings, tuple(data.train[0].shape[1:]))
    unlisted = [key for key in OTHERS if key not in listed and getattr(settings, key) not in (None, ())]
    changed = {key: OTHERS[key] for key in unlisted if allowed(settings, key, OTHERS[key])}
    assert len(changed) > 5
    other, same = trained(replace(settings, **changed))
    torch.testing.assert_close(other.train[0], data.train[0], atol=0, rtol=0)
    torch.testing.assert_close(same, weights, atol=0, rtol=0)


def allowed(settings, name, value):
    """Whether a setting can have another value at all: some are refused where they would do nothing."""
    try:
        replace(settings, **{name: value}).resolved()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_settings_in_use_are_listed(name):
    """Spirals have points and no channels, images channels and no width; a plain network has no prior."""
    settings = CASES[name].resolved()
    images = settings.data == "digits"
    listed = set(settings_in_use(settings, (1, 8, 8) if images else (2,)))
    assert listed <= {field.name for field in fields(Settings)}
    assert {"data", "seed", "max_epochs", "batch_size"} <= listed
    assert ("channels" in listed, "width" in listed, "num_points" in listed) == (images, not images, not images)
    assert ("prior" in listed) == (name != "plain")
    assert ("gamma" in listed, "patience" in listed) == (name == "gradient", name == "gradient")
    assert ("anneal_start" in listed) == (name in ("spirals", "images", "graph"))
    assert not {"uci_name", "split", "data_path", "data_root", "pixels", "pretrained", "image_size"} & listed


def test_widths_take_the_place_of_the_width():
    settings = replace(CASES["spirals"], widths=(2, 4)).resolved()
    listed = settings_in_use(settings, (2,))
    assert "width" not in listed
    assert {"widths", "width_prior"} <= set(listed)
    assert settings_in_use(CASES["spirals"].resolved(), (2,))["width"] == 4

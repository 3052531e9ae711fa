"""The settings of training stand in one place, and each is checked there."""

import math
from dataclasses import fields
from functools import partial
from typing import get_type_hints

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.runs.settings import Settings
from pyro_vds.training.config import TrainingConfig, TrainingSettings


def test_keywords_of_fit_are_the_fields_and_their_types():
    assert get_type_hints(TrainingSettings) == get_type_hints(TrainingConfig)
    assert list(get_type_hints(TrainingSettings)) == [field.name for field in fields(TrainingConfig)]


def test_a_run_has_every_setting_of_training_with_its_documentation():
    assert {field.name for field in fields(TrainingConfig)} <= {field.name for field in fields(Settings)}
    for field in fields(TrainingConfig):
        assert f"\n    {field.name}: " in (Settings.__doc__ or "")
    assert "of paper: 500, 1000 for npz and table, 8000 for spirals, 60 for digits" in (Settings.__doc__ or "")


def test_settings_of_a_run_train_as_the_same_keywords():
    settings = Settings(preset="paper", data="digits", max_epochs=4, guide_lr=0.5, clip_norm=0.1, seed=3).resolved()
    elbos = []
    for how in ({"config": settings}, {"max_epochs": 4, "guide_lr": 0.5, "clip_norm": 0.1, "seed": 3}):
        model, guide, x, y = oracles.problem(2)
        elbos.append(vds.fit(model, guide, (x, y), progress=False, **how).elbo)
    assert torch.equal(*elbos)


def test_keywords_change_the_config():
    model, guide, x, y = oracles.problem(1)
    config = TrainingConfig(max_epochs=9, lr=0.01)
    assert len(vds.fit(model, guide, (x, y), config=config, max_epochs=2, progress=False)) == 2


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("wrong", "near"), [({"max_epoch": 3}, "max_epochs"), ({"learning_rate": 1}, "lr"), ({"zzz": 1}, "batch_size or")]
)
def test_unknown_settings_are_refused_with_the_near_ones(wrong, near):
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(TypeError, match=rf"Expected a setting of training, got '{next(iter(wrong))}'.*{near}"):
        vds.fit(model, guide, (x, y), **wrong)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"clip_norm": 0.0}, ValueError, "positive, finite clip_norm, got 0.0"),
        ({"seed": -1}, ValueError, r"Expected a seed in 0\.\.2\*\*63 - 1, got -1"),
        ({"averaging": "mean"}, ValueError, "Expected averaging 'ema', 'swa' or None, got 'mean'"),
        ({"averaging_decay": 1.0}, ValueError, r"averaging_decay in \[0, 1\)"),
        ({"averaging_start": -1}, ValueError, "averaging_start of at least 0"),
        ({"averaging_decay": math.nan}, ValueError, "averaging_decay"),
        ({"optimizer": "AdamW"}, TypeError, r"Expected optimizer as a class of torch.optim .*, got 'AdamW'"),
        (
            {"milestones": (3,), "scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=2)},
            ValueError,
            "Expected a scheduler or milestones, got both",
        ),
    ],
)
def test_settings_out_of_range_are_refused(wrong, kind, message):
    with pytest.raises(kind, match=message):
        TrainingConfig(**wrong)


def test_no_patience_is_no_early_stopping():
    model, guide, x, y = oracles.problem(2)
    history = vds.fit(model, guide, (x, y), max_epochs=40, lr=1e-300, patience=None, progress=False)
    assert (len(history), history.stopped) == (40, "max_epochs")

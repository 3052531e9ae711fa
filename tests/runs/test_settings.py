"""Settings: defaults of each data set, explicit values first, weights and data drawn by the seed alone."""

from dataclasses import fields, replace
from functools import partial

import pytest
import torch

import pyro_vds as vds
from pyro_vds import priors
from pyro_vds.runs.settings import Settings

PAPER = {
    "spirals": (20, 8000, 500, (), 0.0, 512, 0.1),
    "digits": (8, 60, 15, (), 0.1, 128, 0.1),
    "diabetes": (5, 500, 60, (), 0.1, 64, 0.01),
    "gap_1d": (5, 3000, 300, (), 0.0, 512, 0.01),
    "mnist": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "fashion_mnist": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "svhn": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "cifar10": (50, 500, 30, (30,), 0.1, 512, 0.1),
    "uci": (5, 500, 60, (), 0.1, 64, 0.01),
    "npz": (10, 1000, 100, (), 0.0, 512, 0.1),
}
NAMES = ("max_depth", "max_epochs", "patience", "milestones", "validation_fraction", "batch_size", "lr")


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_preset_has_its_settings(name):
    settings = Settings(data=name, preset="paper").resolved()
    assert tuple(getattr(settings, field) for field in NAMES) == PAPER[name]
    assert (settings.guide_update, settings.block_rate, settings.weight_floor) == ("gradient", "paper", 0.0)
    assert (settings.scheduler, settings.momentum, settings.weight_decay) == (None, 0.5, 0.0)
    trained = {field.name: getattr(settings, field.name) for field in fields(vds.TrainingConfig)}
    assert vds.TrainingConfig(**trained | {"lr": None, "momentum": None, "weight_decay": None}) == replace(
        vds.TrainingConfig(), **{name: trained[name] for name in ("max_epochs", "batch_size", "patience", "milestones")}
    )


@pytest.mark.parametrize("name", PAPER)
def test_the_recipe_is_the_default_and_that_of_python(name):
    settings = Settings(data=name).resolved()
    assert settings.preset == "recipe"
    assert (settings.guide_update, settings.block_rate, settings.scheduler) == ("closed_form", "full", "cosine")
    assert settings.patience == settings.max_epochs  # it does not stop early
    own = ("max_epochs", "patience", "batch_size", "lr", "momentum", "anneal_epochs", "weight_floor", "weight_decay")
    given = {field: getattr(settings, field) for field in own}
    trained = {field.name: getattr(settings, field.name) for field in fields(vds.TrainingConfig)}
    assert vds.recipe(**given) == vds.TrainingConfig(**trained)


def test_what_the_recipe_cannot_do_falls_back():
    by_input = Settings(guide="per_input").resolved()
    assert (by_input.guide_update, by_input.block_rate, by_input.weight_floor) == ("gradient", "paper", 0.0)
    assert Settings(milestones=(3,)).resolved().scheduler is None
    assert vds.recipe(milestones=(3,)).scheduler is None
    assert Settings(max_epochs=7).resolved().patience == 7
    assert Settings(guide_update="gradient").resolved().block_rate == "full"


@pytest.mark.parametrize("preset", ["paper", "recipe"])
@pytest.mark.parametrize("name", PAPER)
def test_resolved_keeps_explicit_values(name, preset):
    values = {"max_depth": 0, "max_epochs": 1, "patience": 2, "milestones": (), "validation_fraction": 0.0}
    values |= {"batch_size": 3, "lr": 0.7, "momentum": 0.8, "weight_decay": 0.1, "guide_update": "gradient"}
    values |= {"block_rate": "paper", "weight_floor": 0.2}
    settings = Settings(data=name, preset=preset, **values).resolved()
    assert {field: getattr(settings, field) for field in values} == values


def test_resolved_twice_is_resolved_once():
    settings = Settings(data="digits").resolved()
    assert settings.resolved() == settings


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_weight_decay_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=f"Expected a finite weight_decay of at least 0, got {value}"):
        Settings(weight_decay=value)


@pytest.mark.parametrize("value", [(0,), (-3, 5), (5, 5), (7, 3), (2.5,), (True,)])
def test_milestones_that_do_not_increase_from_one_are_refused(as_a_user, value):
    with pytest.raises(ValueError, match=r"Expected milestones as increasing epochs of at least 1, got \["):
        Settings(milestones=value)


def test_the_prior_is_the_papers_unless_given():
    assert Settings().prior == Settings().resolved().prior == priors.Geometric(0.85)


def test_another_optimiser_keeps_its_own_rate_and_another_schedule_has_no_milestones():
    for adam in (
        Settings(data="diabetes", optimizer=torch.optim.Adam).resolved(),
        vds.recipe(optimizer=torch.optim.Adam),
    ):
        assert (adam.lr, adam.momentum, adam.weight_decay) == (None, None, None)
    assert Settings(data="diabetes").resolved().momentum == 0.9
    cosine = Settings(data="mnist", scheduler=partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=9)).resolved()
    assert cosine.milestones == ()
    assert cosine.lr == 0.1


@pytest.mark.parametrize("given", [{"guide_update": "closed_form"}, {"weight_floor": 0.1}])
def test_a_guide_of_inputs_is_trained_by_gradients_of_the_bound(given):
    with pytest.raises(ValueError, match="Expected guide_update gradient and weight_floor 0"):
        Settings(guide="per_input", **given)

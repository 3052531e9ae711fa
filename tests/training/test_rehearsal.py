"""Random numbers that compilation would freeze are found before it, and no generator moves by the search."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.training.rehearsal import rehearsed

GENERATOR = np.random.default_rng(0)
COMPILED = vds.TrainingConfig(compile=True)


class Drops(nn.Module):
    """A block that is dropped in training mode, if a function draws a number below one half."""

    def __init__(self, draw, held=None):
        super().__init__()
        self.linear, self.draw, self.held = nn.Linear(4, 4), draw, held

    def forward(self, h):
        if not self.training:
            return self.linear(h)
        return self.linear(h) * (2.0 * (self.draw(self) >= 0.5))


def model(*blocks):
    net = vds.PerDepth(nn.Linear(2, 4), blocks, nn.Linear(4, 2))
    return vds.VDSModel(net, num_data=8)


DRAWS = {
    "python": lambda: Drops(lambda _: random.random()),
    "numpy": lambda: Drops(lambda _: np.random.rand()),  # noqa: NPY002
    "held": lambda: Drops(lambda block: block.held.random(), np.random.default_rng(0)),
    "held by python": lambda: Drops(lambda block: block.held.random(), random.Random(0)),
    "elsewhere": lambda: Drops(lambda _: GENERATOR.random()),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_draws_outside_torch_train_without_compilation(kind):
    made = model(*(DRAWS[kind]() for _ in range(3)))
    random.seed(0)
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.warns(RuntimeWarning, match="Expected a network that draws random numbers by torch"):
        assert not rehearsed(made, torch.randn(8, 2), COMPILED).compile
    assert states == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    held = made.backbone.blocks[0].held
    if isinstance(held, random.Random):
        assert held.getstate() == random.Random(0).getstate()


def test_draws_of_torch_and_statistics_are_no_reason():
    dropout = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    made = model(dropout, nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)))
    x = torch.randn(8, 2)
    before = {name: t.clone() for name, t in made.state_dict().items()}, torch.get_rng_state()
    assert rehearsed(made, x, COMPILED) is COMPILED
    assert torch.equal(before[1], torch.get_rng_state())
    assert all(torch.equal(t, before[0][name]) for name, t in made.state_dict().items())


def test_a_fit_with_compilation_takes_eager_steps():
    made = model(*(DRAWS["python"]() for _ in range(3)))
    weights = [block.linear.weight.clone() for block in made.backbone.blocks]
    x = torch.randn(8, 2)
    with pytest.warns(RuntimeWarning, match="Training continues without compilation"):
        history = vds.fit(
            made, vds.AutoCategorical(made), (x, (x[:, 0] > 0).long()), compile=True, max_epochs=30, progress=False
        )
    assert history.compile_seconds == 0
    assert not any(torch.equal(b.linear.weight, w) for b, w in zip(made.backbone.blocks, weights, strict=True))

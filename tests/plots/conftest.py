"""What tests of figures share."""

import oracles
import pytest

import pyro_vds as vds


@pytest.fixture
def trained():
    """A small trained model with its guide, data and history."""
    model, guide, x, y = oracles.problem(3, classes=2)
    history = vds.fit(model, guide, (x, y), max_epochs=5, progress=False)
    return model, guide, x, y, history

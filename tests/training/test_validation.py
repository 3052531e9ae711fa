"""Held-out data in training: the means of what the likelihood measures."""

import pytest
import torch

import pyro_vds as vds


@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_the_squared_error_is_a_mean_over_points_and_targets(shape):
    x, y = torch.randn(30, 2), torch.randn(shape)
    likelihood = vds.likelihoods.Gaussian(learn_scale=True)
    model = vds.VDSModel(vds.ResidualMLP(2, y[:1].numel(), 4, 2), likelihood=likelihood, num_data=30)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, (x, y), validation=(x, y), max_epochs=3, progress=False)
    mean, _ = vds.predict_moments(model, guide, x)
    found = {name: values[history.best_epoch] for name, values in history.validation.items()}
    torch.testing.assert_close(found["squared_error"], (mean - y).square().mean())
    torch.testing.assert_close(found["log_prob"], vds.log_predictive(model, guide, x, y).mean())

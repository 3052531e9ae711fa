"""Temperature scaling: known temperatures, scikit-learn's result, and the limits."""

import numpy as np
import pytest
from controls import RNG, overconfident, predictions
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from pyro_vds.metrics import calibration
from pyro_vds.metrics.temperature import HIGHEST, LOWEST, fit_temperature, scale_probs


class Probabilities(ClassifierMixin, BaseEstimator):
    """A fitted classifier for scikit-learn whose inputs are its predictions."""

    def __init__(self):
        self.classes_ = np.arange(5)

    def fit(self, X, y):  # noqa: N803
        return self

    def predict_proba(self, X):  # noqa: N803
        return X

    def predict(self, X):  # noqa: N803
        return X.argmax(1)


@pytest.mark.parametrize("power", [0.5, 1, 4])
def test_the_temperature_that_was_applied_is_found(power):
    probs, labels = predictions(20_000)
    changed = overconfident(probs, power)
    assert fit_temperature(changed, labels) == pytest.approx(power, rel=0.03)


def test_temperature_equals_that_of_scikit_learn():
    probs, labels = predictions(500, sharpness=1)  # none so small that scikit-learn would clip it
    changed = overconfident(probs, 2)
    theirs = CalibratedClassifierCV(FrozenEstimator(Probabilities()), method="temperature").fit(changed, labels)
    ours = scale_probs(changed, fit_temperature(changed, labels))
    np.testing.assert_allclose(ours, theirs.predict_proba(changed), atol=1e-3)


def test_scaling_repairs_new_data_and_keeps_the_classes():
    validation, test = (predictions(10_000) for _ in range(2))
    temperature = fit_temperature(overconfident(validation[0]), validation[1])
    before = overconfident(test[0])
    after = scale_probs(before, temperature)
    assert calibration.ece(before, test[1]) > 0.1
    assert calibration.ece(after, test[1]) < 0.02
    assert (after.argmax(1) == before.argmax(1)).all()
    np.testing.assert_allclose(after.sum(1), 1)
    np.testing.assert_allclose(scale_probs(before, 1), before)


def test_an_optimum_that_does_not_exist_ends_at_the_limit():
    right = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert fit_temperature(right, [0, 1]) == LOWEST
    assert fit_temperature(right, [1, 0]) == HIGHEST


def test_where_all_temperatures_are_the_same_it_is_one():
    assert fit_temperature([[1.0], [1.0]], [0, 0]) == fit_temperature(np.full((3, 4), 0.25), [0, 1, 1]) == 1


def test_a_probability_of_zero_is_no_obstacle_but_a_warning():
    probs = np.array([[1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])
    with pytest.warns(RuntimeWarning, match="got 2 of 6 that are 0"):
        assert np.isfinite(fit_temperature(probs, [1, 1, 1]))
    with pytest.warns(RuntimeWarning, match="with log=True"):
        assert np.isfinite(scale_probs(probs, 3)).all()


@pytest.mark.parametrize("scale", [20.0, 400.0, 3000.0])
def test_log_probabilities_give_the_temperature_where_probabilities_are_zero(scale):
    logits = scale * RNG.normal(size=(2000, 3))
    labels = (logits / scale + RNG.gumbel(size=logits.shape)).argmax(1)
    log_probs = log_softmax(logits, -1).astype(np.float32)
    assert (np.exp(log_probs) == 0).any()
    found = fit_temperature(log_probs, labels, log=True)
    best = minimize_scalar(
        lambda t: -log_softmax(logits / (scale * t), -1)[np.arange(2000), labels].mean(), bounds=(0.5, 2)
    ).x
    assert found == pytest.approx(scale * best, rel=1e-5)
    cooled = scale_probs(log_probs, found, log=True)
    np.testing.assert_allclose(cooled, softmax(logits / found, -1), atol=1e-5)


def test_an_impossible_class_stays_impossible():
    log_probs = np.array([[np.log(0.7), np.log(0.3), -np.inf]] * 4)
    expected = np.log(0.7 / 0.3) / np.log(0.75 / 0.25)
    assert fit_temperature(log_probs, [0, 0, 0, 1], log=True) == pytest.approx(expected)
    assert scale_probs(log_probs, 2, log=True)[0, 2] == 0
    with pytest.raises(ValueError, match="Expected true classes that are possible"):
        fit_temperature(log_probs, [0, 0, 0, 2], log=True)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="Expected a positive temperature, got 0"):
        scale_probs([[0.5, 0.5]], 0)
    with pytest.raises(ValueError, match="Expected rows of probabilities that sum to one"):
        scale_probs([[0.5, 0.6]], 1)
    with pytest.raises(ValueError, match="Expected integer labels"):
        fit_temperature([[0.5, 0.5]], [2])
    for measure in (fit_temperature, calibration.nll):
        with pytest.raises(ValueError, match="exponentials sum to one, got others. Pass predict"):
            measure([[2.0, 0.5]], [0], log=True)

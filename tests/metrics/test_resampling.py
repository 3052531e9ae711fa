"""Bootstrap intervals: coverage of a known truth, and seeds."""

import numpy as np
import pytest
from controls import overconfident, predictions

from pyro_vds.metrics import calibration
from pyro_vds.metrics.resampling import bootstrap_interval


def test_interval_of_the_accuracy_is_that_of_the_binomial():
    probs, labels = predictions(2000)
    found = bootstrap_interval(calibration.accuracy, probs, labels, rng=0)
    share = calibration.accuracy(probs, labels)
    error = np.sqrt(share * (1 - share) / 2000)
    assert found.estimate == share
    assert [found.low, found.high] == pytest.approx([share - 1.96 * error, share + 1.96 * error], abs=0.25 * error)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    inside = 0
    for seed in range(60):
        labels = (np.random.default_rng(seed).random(100) < 0.3).astype(int)
        probs = np.tile([0.6, 0.4], (100, 1))
        found = bootstrap_interval(calibration.brier, probs, labels, rng=seed, resamples=200, prob=0.9)
        inside += found.low <= 2 * (0.7 * 0.4**2 + 0.3 * 0.6**2) <= found.high
    assert 0.78 <= inside / 60 <= 1


def test_intervals_part_a_calibrated_from_an_overconfident_predictor():
    probs, labels = predictions(1000)
    good, bad = (
        bootstrap_interval(lambda p, y: calibration.ece(p, y, 10), p, labels, rng=0, resamples=200)
        for p in (probs, overconfident(probs))
    )
    assert good.high < bad.low


def test_the_seed_decides():
    case = (calibration.brier, *predictions(100))
    first, same, other = (
        bootstrap_interval(*case, rng=seed, resamples=50) for seed in (1, np.random.default_rng(1), 2)
    )
    assert first == same
    assert first != other


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="Expected at least two points to resample, got one"):
        bootstrap_interval(calibration.brier, [[0.5, 0.5]], [1], rng=0)
    with pytest.raises(ValueError, match="Expected rows of probabilities that sum to one"):
        bootstrap_interval(calibration.brier, [[0.5, 0.6]], [1], rng=0)

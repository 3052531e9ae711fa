"""Calibration measures against other libraries, and on a good and a bad control."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from pyro_vds import calibration

RNG = np.random.default_rng(0)


def predictions(n=4000, classes=5, sharpness=2.0):
    """Probabilities, and labels drawn from them: calibrated by construction."""
    logits = sharpness * RNG.normal(size=(n, classes))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probs.cumsum(1) < RNG.random((n, 1))).sum(1)
    return probs, labels


def overconfident(probs, power=4):
    return probs**power / (probs**power).sum(1, keepdims=True)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_ece_equals_torchmetrics(bins, sharpness):
    probs, labels = predictions(500, sharpness=sharpness)
    theirs = MulticlassCalibrationError(num_classes=5, n_bins=bins, norm="l1")
    expected = float(theirs(torch.from_numpy(probs), torch.from_numpy(labels)))
    assert calibration.ece(probs, labels, bins) == pytest.approx(expected, abs=1e-6)


def test_ece_tells_a_calibrated_from_an_overconfident_predictor():
    probs, labels = predictions(20_000)
    assert calibration.ece(probs, labels) < 0.015
    assert calibration.ece(overconfident(probs), labels) > 0.1


def test_nll_and_brier_are_lowest_for_the_calibrated_predictor():
    probs, labels = predictions(20_000)
    assert calibration.nll(probs, labels) < calibration.nll(overconfident(probs), labels)
    assert calibration.brier(probs, labels) < calibration.brier(overconfident(probs), labels)


def test_measures_equal_their_formulas():
    probs, labels = predictions(200)
    onehot = np.eye(5)[labels]
    assert calibration.nll(probs, labels) == pytest.approx(-np.log((probs * onehot).sum(1)).mean())
    assert calibration.brier(probs, labels) == pytest.approx(((probs - onehot) ** 2).sum(1).mean())
    theirs = MulticlassAccuracy(num_classes=5, average="micro")(torch.from_numpy(probs), torch.from_numpy(labels))
    assert calibration.accuracy(probs, labels) == pytest.approx(float(theirs))


def test_two_classes_and_a_class_that_never_comes():
    probs = np.array([[0.8, 0.2], [0.6, 0.4]])
    labels = np.array([0, 0])
    assert calibration.nll(probs, labels) == pytest.approx(-np.log([0.8, 0.6]).mean())
    assert calibration.brier(probs, labels) == pytest.approx((2 * 0.2**2 + 2 * 0.4**2) / 2)


def test_reliability_table_by_hand():
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55], [0.5, 0.5]])
    table = calibration.reliability_table(probs, np.array([0, 1, 1, 0]), bins=10)
    assert table.counts.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 2]
    assert table.accuracy[[4, 5, 9]].tolist() == [1, 1, 0.5]
    np.testing.assert_allclose(table.confidence[[4, 5, 9]], [0.5, 0.55, 0.95])
    assert np.isnan(table.accuracy[0])
    assert table.ece == pytest.approx((0.5 + 0.45 + 2 * 0.45) / 4)


def test_certain_predictions_fall_into_the_last_bin():
    assert calibration.reliability_table(np.eye(2), np.array([0, 1])).counts[-1] == 2


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.ones((3, 2)), [0, 1, 1], "Expected rows of probabilities that sum to one"),
        (np.array([[1.5, -0.5]]), [0], "negative, non-finite or unnormalised"),
        (np.array([[np.nan, 0.5]]), [0], "not logits or log probabilities"),
        (np.full((3, 2), 0.5), [0, 1], r"got \(3, 2\) and \(2,\)"),
        (np.full((3, 2), 0.5), [0, 1, 2], r"Expected integer labels in 0\.\.1, got int64 0\.\.2"),
        (np.full((3, 2), 0.5), [0.0, 1.0, 1.0], "Expected integer labels"),
        (np.zeros((0, 2)), [], "N > 0"),
    ],
)
def test_bad_input_is_refused(probs, labels, message):
    for measure in (calibration.ece, calibration.nll, calibration.brier, calibration.accuracy):
        with pytest.raises(ValueError, match=message):
            measure(probs, labels)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="Expected at least one bin, got bins=0"):
        calibration.ece(*predictions(10), bins=0)

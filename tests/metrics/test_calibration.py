"""Calibration measures against other libraries, and on a good and a bad control."""

import numpy as np
import pytest
import torch
from controls import overconfident, predictions
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import BinaryCalibrationError, MulticlassAccuracy, MulticlassCalibrationError

from pyro_vds.metrics import calibration


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


@pytest.mark.parametrize("bins", [5, 15])
def test_classwise_ece_equals_torchmetrics_class_by_class(bins):
    probs, labels = predictions(500)
    theirs = BinaryCalibrationError(n_bins=bins, norm="l1")
    parts = [theirs(torch.from_numpy(probs[:, c]), torch.from_numpy(labels == c).int()) for c in range(5)]
    assert calibration.classwise_ece(probs, labels, bins) == pytest.approx(float(sum(parts)) / 5, abs=1e-6)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_classwise_ece_tells_a_calibrated_from_an_overconfident_predictor(binning):
    probs, labels = predictions(20_000)
    assert calibration.classwise_ece(probs, labels, binning=binning) < 0.01
    assert calibration.classwise_ece(overconfident(probs), labels, binning=binning) > 0.04


def test_bins_of_equal_mass_equal_slices_of_the_sorted_predictions():
    probs, labels = predictions(600)
    confidence, hits = probs.max(1), probs.argmax(1) == labels
    slices = np.array_split(np.argsort(confidence), 15)
    expected = sum(len(part) / 600 * abs(hits[part].mean() - confidence[part].mean()) for part in slices)
    assert calibration.reliability_table(probs, labels, binning="mass").counts.tolist() == [40] * 15
    assert calibration.ece(probs, labels, binning="mass") == pytest.approx(expected)
    assert calibration.ece(overconfident(probs), labels, binning="mass") > 0.1


def test_equal_predictions_stay_in_one_bin_of_equal_mass():
    probs = np.array([[0.8, 0.2]] * 7 + [[0.6, 0.4]] * 3)
    labels = np.array([0, 1] * 5)
    table = calibration.reliability_table(probs, labels, bins=4, binning="mass")
    assert sorted(table.counts.tolist()) == [0, 0, 3, 7]
    order = np.random.default_rng(0).permutation(10)
    again = calibration.reliability_table(probs[order], labels[order], bins=4, binning="mass")
    assert again.ece == pytest.approx(table.ece)


def test_brier_decomposition_of_distinct_predictions_by_hand():
    probs = np.repeat([[0.9, 0.1], [0.3, 0.7]], [4, 4], axis=0)
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    parts = calibration.brier_decomposition(probs, labels)
    assert parts.reliability == pytest.approx(2 * (0.5 * 0.15**2 + 0.5 * 0.2**2))
    assert parts.resolution == pytest.approx(2 * (0.125**2))
    assert parts.uncertainty == pytest.approx(2 * 0.625 * 0.375)
    assert parts.within_bin == pytest.approx(0)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_brier_decomposition_adds_up_with_what_bins_hide(binning):
    probs, labels = predictions(500)
    parts = calibration.brier_decomposition(probs, labels, bins=4, binning=binning)
    hidden = 0.0
    for c in range(5):
        p, hit = probs[:, c], labels == c
        edges = np.quantile(p, [0.25, 0.5, 0.75]) if binning == "mass" else [0.25, 0.5, 0.75]
        index = np.searchsorted(edges, p)
        for b in range(4):
            dp, do = p[index == b] - p[index == b].mean(), hit[index == b] - hit[index == b].mean()
            hidden += (dp**2 - 2 * dp * do).sum() / 500
    assert parts.within_bin == pytest.approx(hidden)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
    assert total == pytest.approx(calibration.brier(probs, labels))


def test_brier_decomposition_of_good_and_bad_predictors():
    probs, labels = predictions(20_000)
    good, bad = (calibration.brier_decomposition(p, labels) for p in (probs, overconfident(probs)))
    assert good.reliability < 0.003
    assert bad.reliability > 0.03
    frequencies = np.bincount(labels) / len(labels)
    climate = calibration.brier_decomposition(np.tile(frequencies, (len(labels), 1)), labels)
    assert [climate.reliability, climate.resolution] == pytest.approx([0, 0], abs=1e-12)
    oracle = calibration.brier_decomposition(np.eye(5)[labels], labels)
    assert oracle.resolution == pytest.approx(oracle.uncertainty)


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
    measures = ["ece", "classwise_ece", "nll", "brier", "brier_decomposition", "accuracy"]
    for measure in (getattr(calibration, name) for name in measures):
        with pytest.raises(ValueError, match=message):
            measure(probs, labels)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="Expected at least one bin, got bins=0"):
        calibration.ece(*predictions(10), bins=0)


@pytest.mark.usefixtures("as_a_user")
def test_unknown_bins_are_refused():
    with pytest.raises(ValueError, match="Expected binning of 'width', 'mass', got 'equal'"):
        calibration.ece(*predictions(10), binning="equal")


def test_nll_does_not_cut_small_probabilities_off():
    assert calibration.nll([[1e-30, 1.0]], [0]) == pytest.approx(30 * np.log(10))
    with pytest.warns(RuntimeWarning, match="got 1 of 1 that are 0 or below 2.2e-308"):
        assert calibration.nll([[0.0, 1.0]], [0]) == np.inf


def test_nll_and_brier_are_scikit_learn_s_where_it_does_not_cut_off():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    labels = np.random.default_rng(1).integers(0, 4, 50)
    assert calibration.nll(probs, labels) == pytest.approx(log_loss(labels, probs, labels=range(4)))
    theirs = brier_score_loss(labels, probs, labels=range(4), scale_by_half=False)
    assert calibration.brier(probs, labels) == pytest.approx(theirs)


def test_a_single_class_is_predicted_perfectly():
    assert calibration.brier([[1.0], [1.0]], [0, 0]) == calibration.nll([[1.0], [1.0]], [0, 0]) == 0

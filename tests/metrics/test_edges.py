"""Measures at their edges, against loops in rational numbers: ties, edges of bins, empty bins, one class, precision."""

import itertools
import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from torchmetrics.classification import MulticlassCalibrationError

import pyro_vds as vds
from pyro_vds.metrics import calibration, intervals, uncertainty

PRECISIONS = [np.float16, np.float32, np.float64]
BINNINGS = ["width", "mass"]


@st.composite
def votes(draw):
    """Counts of votes for each class, full of ties and of shares on the edges of bins; and labels."""
    n, classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    counts = draw(arrays(np.int64, (n, classes), elements=st.integers(0, 5)))
    counts[:, 0] += counts.sum(1) == 0
    return counts, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))


def shares(counts):
    return [[Fraction(int(c), int(row.sum())) for c in row] for row in counts]


def binned_error(events, bins, binning):
    """The calibration error of ``(confidence, hit)`` in rational numbers."""
    n, found = len(events), Fraction(0)
    places = []
    for confidence, _ in events:
        below = sum(other < confidence for other, _ in events)
        by_mass = next(b for b in range(bins) if below < math.ceil(Fraction(n * (b + 1), bins)))
        places.append(by_mass if binning == "mass" else max(math.ceil(confidence * bins) - 1, 0))
    for b in set(places):
        inside = [event for event, place in zip(events, places, strict=True) if place == b]
        found += abs(sum(confidence - hit for confidence, hit in inside)) / n
    return float(found)


@pytest.mark.parametrize("binning", BINNINGS)
@settings(max_examples=60, deadline=None)
@given(votes(), st.integers(1, 12), st.sampled_from(PRECISIONS[1:]))
def test_calibration_errors_equal_those_in_rational_numbers(binning, drawn, bins, precision):
    counts, labels = drawn
    exact = shares(counts)
    probs = (counts / counts.sum(1, keepdims=True)).astype(precision)
    events = [(max(row), int(row.index(max(row)) == y)) for row, y in zip(exact, labels, strict=True)]
    found = calibration.ece(probs, labels, bins, binning=binning)
    assert found == pytest.approx(binned_error(events, bins, binning), abs=1e-6)
    by_class = [
        binned_error([(row[c], int(y == c)) for row, y in zip(exact, labels, strict=True)], bins, binning)
        for c in range(counts.shape[1])
    ]
    found = calibration.classwise_ece(probs, labels, bins, binning=binning)
    assert found == pytest.approx(np.mean(by_class), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(votes(), st.sampled_from(PRECISIONS))
def test_brier_nll_and_accuracy_equal_those_in_rational_numbers(drawn, precision):
    counts, labels = drawn
    exact = shares(counts)
    probs = (counts / counts.sum(1, keepdims=True)).astype(precision)
    rows = list(zip(exact, labels, strict=True))
    brier = sum(sum((p - int(c == y)) ** 2 for c, p in enumerate(row)) for row, y in rows) / len(rows)
    rounding = 4 * float(np.finfo(precision).eps)
    assert calibration.brier(probs, labels) == pytest.approx(float(brier), abs=rounding)
    assert calibration.accuracy(probs, labels) == np.mean([row.index(max(row)) == y for row, y in rows])
    true = [row[y] for row, y in rows]
    if all(true):
        nll = -sum(math.log(p) for p in true) / len(rows)
        assert calibration.nll(probs, labels) == pytest.approx(nll, abs=rounding)
        with np.errstate(divide="ignore"):
            log_probs = np.log(probs.astype(np.float64)).astype(precision)
        assert calibration.nll(log_probs, labels, log=True) == pytest.approx(nll, abs=4 * rounding)
    else:
        with pytest.warns(RuntimeWarning, match=f"of {len(rows)} that are 0 or below"):
            assert calibration.nll(probs, labels) == np.inf
    parts = calibration.brier_decomposition(probs, labels, 5)
    frequency = np.bincount(labels, minlength=counts.shape[1]) / len(rows)
    assert parts.uncertainty == pytest.approx(float((frequency * (1 - frequency)).sum()))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bins", [3, 10, 15, 49, 97])
def test_confidences_on_edges_of_bins_are_in_the_lower_bin(precision, bins):
    confidence = (np.arange(1, bins + 1) / bins).astype(precision)
    table = calibration.confidence_table(confidence, np.ones(bins, dtype=bool), bins)
    assert table.counts.tolist() == [1] * bins
    # A sum that rounds to a bit less than one moves no confidence over an edge.
    assert calibration.reliability_table([[0.7, 0.2, 0.1]], [0], bins=10).counts.argmax() == 6


@pytest.mark.parametrize("bins", [7, 15, 60])
def test_bins_of_equal_mass_have_equal_counts_for_any_number_of_points(bins):
    for n in (bins - 2, bins, 3 * bins, 3 * bins + 1, 20 * bins - 1):
        table = calibration.confidence_table(np.linspace(0.2, 0.9, n), np.ones(n, dtype=bool), bins, "mass")
        assert table.counts.sum() == n
        assert table.counts.max() - table.counts.min() <= 1


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_precision_measure_alike(precision):
    logits = 4 * torch.randn(400, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.distributions.Categorical(logits=logits).sample()
    probs, log_probs = ((logits.to(precision) if i else logits).softmax(-1).to(precision) for i in (1, 0))
    probs.requires_grad_()
    log_probs = logits.log_softmax(-1).to(precision)
    eps = torch.finfo(precision).eps
    exact = MulticlassCalibrationError(num_classes=30, n_bins=5, norm="l1")(logits.softmax(-1), labels)
    assert calibration.ece(probs, labels, 5) == pytest.approx(float(exact), abs=2 * eps + 1e-6)
    nll = float(torch.nn.functional.cross_entropy(logits, labels))
    assert calibration.nll(log_probs, labels, log=True) == pytest.approx(nll, abs=4 * eps)
    found = vds.temperature.fit_temperature(log_probs, labels, log=True)
    assert found == pytest.approx(vds.temperature.fit_temperature(logits.softmax(-1), labels), rel=4 * eps + 1e-12)
    with pytest.raises(ValueError, match="sum to one"):
        calibration.ece(1.3 * probs.detach(), labels)


@pytest.mark.usefixtures("as_a_user")
def test_what_is_no_confidence_is_refused():
    for bad in (np.array([np.nan, 0.5]), np.array([1.5, 0.5]), np.array([-0.1, 0.5]), np.array([])):
        with pytest.raises(ValueError, match=r"Expected confidences in \[0, 1\] and as many hits"):
            calibration.confidence_table(bad, np.ones(len(bad), dtype=bool))
    with pytest.raises(ValueError, match="got 2 and 1"):
        calibration.confidence_table(np.array([0.5, 0.5]), np.ones(1, dtype=bool))


def test_predictions_of_a_saturated_network_are_exact():
    model, guide, x, y = oracles.problem(1)
    model, guide, x = model.float(), guide.float(), 300 * x.float()
    mixture = vds.predict(model, guide, x)
    by_hand = oracles.outputs(model.backbone.eval(), x).double().log_softmax(-1)
    log_q = guide.probs()["depth"].double().log()[:, None, None]
    expected = (by_hand + log_q).logsumexp(0)
    assert (expected.exp().float() == 0).any()
    torch.testing.assert_close(mixture.log_probs.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mixture.probs, expected.exp(), rtol=1e-3, atol=1e-6)
    assert mixture.probs.dtype == torch.float64
    (found,) = vds.predict(model, guide, x, want=["log_probs"], batch_size=5)
    torch.testing.assert_close(found["log_probs"], mixture.log_probs)
    exact = -float(vds.log_predictive(model, guide, x, y).double().mean())
    assert calibration.nll(mixture.log_probs, y, log=True) == pytest.approx(exact, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=4))
def test_risk_coverage_is_the_mean_over_all_orders_of_ties(points):
    orders = [
        [loss for _, loss in order]
        for order in itertools.permutations(points)
        if all(a[0] <= b[0] for a, b in itertools.pairwise(order))
    ]
    kept = np.arange(1, len(points) + 1)
    expected = np.mean([np.cumsum(order) / kept for order in orders], axis=0)
    found = uncertainty.risk_coverage(*np.transpose(points))
    np.testing.assert_allclose(found.risk, expected)
    best = np.cumsum(sorted(loss for _, loss in points)) / kept
    assert found.excess_area == pytest.approx(expected.mean() - best.mean())


@settings(max_examples=40, deadline=None)
@given(*[st.lists(st.integers(0, 3), min_size=1, max_size=6)] * 2)
def test_detection_equals_the_count_of_pairs(inside, outside):
    found = uncertainty.detect_outside(inside, outside)
    pairs = [(b > a) + (b == a) / 2 for a in inside for b in outside]
    assert found.auroc == pytest.approx(np.mean(pairs))
    precision = 0.0
    for level in sorted(set(outside)):
        flagged = sum(b >= level for b in outside)
        precision += outside.count(level) / len(outside) * flagged / (flagged + sum(a >= level for a in inside))
    assert found.aupr == pytest.approx(precision)


def test_a_target_on_the_end_of_an_interval_is_inside():
    ends = [Fraction(1, 2) - Fraction(k, 40) for k in range(1, 20)]
    table = intervals.interval_table([float(end) for end in ends])
    expected = [np.mean([2 * abs(end - Fraction(1, 2)) <= Fraction(k, 20) for end in ends]) for k in range(1, 20)]
    np.testing.assert_allclose(table.coverage, expected)

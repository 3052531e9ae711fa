"""The entropy split by brute force, risk-coverage by a loop, detection against scikit-learn, each with controls."""

import numpy as np
import oracles
import pytest
import torch
from sklearn.metrics import auc, precision_recall_curve, roc_curve

import pyro_vds as vds
from pyro_vds import predict_entropy, split_entropy
from pyro_vds.metrics.uncertainty import detect_outside, risk_coverage

RNG = np.random.default_rng(0)


def entropy(p):
    return -(p * p.log()).sum(-1)


@pytest.mark.parametrize("depth", [None, 1])
def test_entropy_split_equals_brute_force(depth):
    model, guide, x, _ = oracles.problem(3)
    found = predict_entropy(model, guide, x, depth=depth, batch_size=5)
    probs, q = oracles.outputs(model.backbone.eval(), x).softmax(-1), guide.probs()["depth"]
    if depth is not None:
        probs, q = probs[: depth + 1], torch.stack([q[0], q[1:].sum()])
    total, expected = entropy(torch.einsum("d,dnc->nc", q, probs)), torch.einsum("d,dn->n", q, entropy(probs))
    torch.testing.assert_close(found.total, total.detach())
    torch.testing.assert_close(found.expected, expected.detach())
    torch.testing.assert_close(found.mutual_information, (total - expected).detach())


def test_total_is_the_entropy_of_the_predicted_probabilities():
    model, guide, x, _ = oracles.problem(3)
    torch.testing.assert_close(predict_entropy(model, guide, x).total, entropy(vds.predict_proba(model, guide, x)))


def test_depths_that_agree_share_nothing_and_depths_that_do_not_share_everything():
    agree = split_entropy(torch.full((2, 1, 2), 0.5).log(), torch.full((2,), 0.5).log())
    assert float(agree.total) == pytest.approx(np.log(2))
    assert float(agree.mutual_information) == pytest.approx(0, abs=1e-12)
    certain = torch.eye(2)[:, None].log()
    apart = split_entropy(certain, torch.full((2,), 0.5).log())
    assert float(apart.expected) == 0
    assert float(apart.mutual_information) == pytest.approx(np.log(2))


def test_a_plain_network_has_no_mutual_information():
    model = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 1, readout="last"), num_data=5)
    found = predict_entropy(model, None, torch.randn(5, 2))
    torch.testing.assert_close(found.mutual_information, torch.zeros(5))
    torch.testing.assert_close(found.total, found.expected)


def test_replicates_have_a_row_each():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    guide, x = vds.AutoCategorical(model), torch.randn(6, 2)
    found = predict_entropy(model, guide, x)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(found.mutual_information[r], predict_entropy(one, its_guide, x).mutual_information)


def test_risk_coverage_equals_a_loop():
    score, errors = RNG.random(50), RNG.integers(0, 2, 50)
    found = risk_coverage(score, errors)
    order = sorted(range(50), key=lambda n: score[n])
    risk = [np.mean([errors[n] for n in order[: k + 1]]) for k in range(50)]
    np.testing.assert_allclose(found.risk, risk)
    np.testing.assert_allclose(found.coverage, [(k + 1) / 50 for k in range(50)])
    assert found.area == pytest.approx(np.mean(risk))
    assert found.risk[-1] == pytest.approx(errors.mean())


def test_risk_coverage_of_equal_scores_is_the_mean_over_orders():
    score, errors = RNG.integers(0, 3, 40), RNG.integers(0, 2, 40)
    areas = [risk_coverage(score + 1e-6 * RNG.random(40), errors).area for _ in range(4000)]
    assert risk_coverage(score, errors).area == pytest.approx(np.mean(areas), abs=0.003)


def test_risk_coverage_of_perfect_useless_and_wrong_scores():
    errors = np.array([0] * 90 + [1] * 10)
    perfect = risk_coverage(errors, errors)
    assert perfect.excess_area == pytest.approx(0)
    assert (perfect.risk[:90] == 0).all()
    useless = risk_coverage(np.zeros(100), errors)
    np.testing.assert_allclose(useless.risk, 0.1)
    assert useless.area == pytest.approx(0.1)
    assert risk_coverage(-errors, errors).area > 0.3


def test_detection_equals_the_areas_under_the_curves():
    inside, outside = RNG.normal(0, 1, 300), RNG.normal(1, 1, 200)
    truth, score = np.repeat([0, 1], [300, 200]), np.concatenate([inside, outside])
    found = detect_outside(inside, outside)
    assert found.auroc == pytest.approx(auc(*roc_curve(truth, score)[:2]))
    assert found.auroc == pytest.approx((outside[:, None] > inside).mean())
    precision, recall, _ = precision_recall_curve(truth, score)
    assert found.aupr == pytest.approx(-(np.diff(recall) * precision[:-1]).sum())


def test_detection_by_perfect_useless_and_reversed_scores():
    perfect = detect_outside([0.0, 0.1], torch.tensor([0.9, 1.0]))
    assert (perfect.auroc, perfect.aupr) == (1, 1)
    useless = detect_outside(np.zeros(30), np.zeros(10))
    assert (useless.auroc, useless.aupr) == (0.5, 0.25)
    assert detect_outside([1.0, 0.9], [0.0, 0.1]).auroc == 0


def test_bad_input_is_refused():
    model = vds.VDSModel(vds.ResidualMLP(2, 1, 4, 1), likelihood=vds.likelihoods.Gaussian(), num_data=5)
    with pytest.raises(TypeError, match="Expected a likelihood of classes, got Gaussian"):
        predict_entropy(model, vds.AutoCategorical(model), torch.randn(5, 2))
    with pytest.raises(ValueError, match=r"Expected a score and an error for each point, got \(2,\) and \(3,\)"):
        risk_coverage([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"Expected errors as finite numbers \(N,\)"):
        risk_coverage([0, 1], [0, np.nan])
    with pytest.raises(ValueError, match=r"Expected outside as finite numbers \(N,\), N > 0, got shape \(0,\)"):
        detect_outside([0, 1], [])

"""The likelihood of ordered classes against differences of logistic distribution functions."""

import numpy as np
import pytest
import scipy.stats
import torch

import pyro_vds as vds
from pyro_vds.likelihoods import Ordinal

CUTS = np.array([-1.5, 0.2, 2.0])


def likelihood(cuts: np.ndarray = CUTS) -> Ordinal:
    found = Ordinal(len(cuts) + 1)
    found.first_cut.data.fill_(cuts[0])
    found.log_gaps.data.copy_(torch.from_numpy(np.log(np.diff(cuts))))
    return found


def class_probs(outputs: np.ndarray, cuts: np.ndarray = CUTS) -> np.ndarray:
    below = scipy.stats.logistic.cdf(cuts - outputs)
    return np.diff(below, axis=-1, prepend=0, append=1)


def problem() -> tuple[vds.VDSModel, vds.AutoCategorical, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, width=5, max_depth=2), likelihood=likelihood(), num_data=12)
    return model, vds.AutoCategorical(model), torch.randn(12, 2), torch.arange(12) % 4


@pytest.mark.parametrize("classes", [2, 4])
def test_class_probabilities_are_differences_of_the_logistic_function(classes):
    cuts = CUTS[: classes - 1]
    outputs = 3 * torch.randn(3, 7, 1)
    found = likelihood(cuts).class_log_probs(outputs).exp().detach()
    np.testing.assert_allclose(found, class_probs(outputs.numpy(), cuts), atol=1e-12)
    np.testing.assert_allclose(Ordinal(classes).class_log_probs(torch.zeros(1, 1)).exp().detach(), 1 / classes)


def test_log_probabilities_do_not_saturate():
    """``sigmoid(c_1 - f) - sigmoid(c_0 - f)`` is zero in single precision there, and its log is not."""
    found = likelihood().class_log_probs(torch.tensor([[-60.0]])).detach()[0]
    expected = [scipy.stats.logistic.logsf(0)] + [0.0] * 3
    tail = CUTS + 60
    expected = [scipy.stats.logistic.logcdf(tail[0])]
    expected += [-tail[k - 1] + np.log(-np.expm1(tail[k - 1] - tail[k])) for k in (1, 2)] + [-tail[2]]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_prediction_entropy_disagreement_and_pruning_equal_brute_force():
    model, guide, x, y = problem()
    with torch.no_grad():
        probs = class_probs(model.eval().backbone(x).numpy())
    q = guide.probs()["depth"].detach().numpy()
    mixed = np.einsum("d,dnk->nk", q, probs)
    np.testing.assert_allclose(vds.predict_proba(model, guide, x), mixed)
    np.testing.assert_allclose(vds.prune(model, guide, depth=2)(x).detach(), np.log(mixed))
    np.testing.assert_allclose(vds.log_predictive(model, guide, x, y), np.log(mixed[np.arange(12), y]))
    entropy = vds.predict_entropy(model, guide, x)
    each = -(probs * np.log(probs)).sum(-1)
    np.testing.assert_allclose(entropy.total, -(mixed * np.log(mixed)).sum(-1))
    np.testing.assert_allclose(entropy.expected, q @ each)
    uniform = probs.mean(0)
    np.testing.assert_allclose(
        vds.predict_disagreement(model, guide, x), -(uniform * np.log(uniform)).sum(-1) - each.mean(0), atol=1e-12
    )


def test_the_ranked_score_is_the_expected_distance():
    """``E|Y - y| - E|Y - Y'| / 2``, of which the ranked probability score is another form."""
    model, guide, x, y = problem()
    (measured,) = vds.predict(model, guide, x, y, want=["metrics"])
    p, k = vds.predict_proba(model, guide, x).numpy(), np.arange(4)
    distance = np.abs(k[:, None] - k)
    expected = (p * distance[y]).sum(-1) - np.einsum("ni,nj,ij->n", p, p, distance) / 2
    np.testing.assert_allclose(measured["ranked_score"], expected)
    np.testing.assert_allclose(measured["error"], p.argmax(-1) != y.numpy())


def test_cut_points_are_learnt():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 1, generator=generator)
    noise = torch.rand(3000, generator=generator).logit()
    y = torch.bucketize(x[:, 0] + noise, torch.from_numpy(CUTS))
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(1, 1, width=4, max_depth=1), likelihood=Ordinal(4), num_data=3000)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), optimizer=torch.optim.Adam, lr=0.1, batch_size=3000, max_epochs=80, progress=False)
    gaps = model.likelihood.cut_points.detach().diff()
    np.testing.assert_allclose(gaps, np.diff(CUTS), rtol=0.15)
    truth = torch.from_numpy(class_probs(x.numpy()))
    assert float((vds.predict_proba(model, guide, x) - truth).abs().mean()) < 0.03


def test_replicates_have_cut_points_of_their_own():
    net = vds.Replicated(vds.ResidualMLP(2, 1, width=4, max_depth=1), 3)
    model = vds.VDSModel(net, likelihood=Ordinal(4), num_data=12)
    _, _, x, y = problem()
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), max_epochs=2, progress=False)
    assert model.likelihood.cut_points.shape == (3, 1, 3)
    found, pruned = vds.predict_proba(model, guide, x), vds.prune(model, guide, depth=1)(x)
    torch.testing.assert_close(pruned.exp(), found)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        assert one.likelihood.cut_points.shape == (3,)
        torch.testing.assert_close(found[r], vds.predict_proba(one, its_guide, x))


@pytest.mark.parametrize(
    ("y", "outputs", "message"),
    [
        (torch.tensor([0, 4]), 1, r"Expected labels in 0\.\.3"),
        (torch.tensor([0, 1]), 4, "Expected a network with 1 output for ordered classes, got 4 outputs"),
    ],
)
def test_bad_labels_and_networks_are_refused(y, outputs, message):
    with pytest.raises(ValueError, match=message):
        Ordinal(4).check_targets(y, torch.zeros(3, 1, outputs))


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="Expected at least 2 classes, got 1"):
        Ordinal(1)

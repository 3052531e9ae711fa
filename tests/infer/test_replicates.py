"""What holds of one model holds of each replicate: everything equals what each gives alone."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds

QUIET = {"progress": False}


@pytest.fixture
def trained():
    torch.manual_seed(0)
    x, y = torch.randn(24, 1, 8, 8), torch.randint(0, 3, (24,))
    net = vds.Replicated(vds.ResidualConvNet(1, 3, 2, channels=4, bottleneck=2), 3)
    model = vds.VDSModel(net, priors=vds.priors.Geometric(0.7), num_data=24)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["depth"])
    vds.fit(model, guide, (x, y), max_epochs=2, batch_size=8, **QUIET)
    return model, guide, x, y


def test_exact_posterior(trained):
    model, guide, x, y = trained
    exact = vds.exact_posterior(model, (x, y), batch_size=10)
    reweighted = vds.reweight(exact, vds.priors.Uniform())
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        alone = vds.exact_posterior(one, (x, y))
        torch.testing.assert_close(exact.probs["depth"][r], alone.probs["depth"])
        assert float(exact.log_evidence[r]) == pytest.approx(alone.log_evidence)
        assert float(exact.gap(guide)[r]) == pytest.approx(alone.gap(its_guide))
        other = vds.reweight(alone, vds.priors.Uniform())
        torch.testing.assert_close(reweighted.probs["depth"][r], other.probs["depth"])
    guide.set_probs(exact.probs)
    torch.testing.assert_close(exact.gap(guide), torch.zeros(3), atol=1e-9, rtol=0)


def test_prune(trained):
    model, guide, x, _ = trained
    small = vds.prune(model, guide, depth=1)
    torch.testing.assert_close(small(x).exp(), vds.predict_proba(model, guide, x, depth=1))
    for r, pair in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(small(x)[r], vds.prune(*pair, depth=1)(x))


def test_choose_takes_one_architecture_for_the_mean_posterior(trained):
    model, guide, x, _ = trained
    q = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    guide.set_probs({"depth": q})
    costs = vds.multiply_adds(model.backbone.copy(0), x)
    assert vds.choose(model, guide, costs, share=1.0) == {"depth": 1}
    chosen = [vds.choose(*pair, costs, share=1.0) for pair in vds.replicates(model, guide)]
    assert chosen == [{"depth": 0}, {"depth": 1}, {"depth": 1}]


def test_bound_gap(trained):
    model, guide, x, y = trained
    gap = vds.BoundGap(model, guide, (x, y), every=1)
    vds.fit(model, guide, (x, y), max_epochs=2, on_epoch=gap, **QUIET)
    found = gap.to_dataset()
    assert dict(found["gap"].sizes) == {"epoch": 2, "replicate": 3}
    assert bool((found["gap"] >= 0).all())


def test_recalibration(trained):
    model, guide, x, y = trained
    pairs = vds.replicates(model, guide)
    vds.recalibrate_batch_norm(model, (x, y), batch_size=8, seed=5)
    for r, (one, _) in enumerate(pairs):
        vds.recalibrate_batch_norm(one, (x, y), batch_size=8, seed=5 + r)
        expected, found = dict(one.backbone.named_buffers()), dict(model.backbone.stacked.named_buffers())
        assert expected
        for name, value in expected.items():
            torch.testing.assert_close(found[name][r], value)


def test_mixture_and_its_entropy(trained):
    model, guide, x, y = trained
    mixture = vds.predict(model, guide, x)
    for r, pair in enumerate(vds.replicates(model, guide)):
        alone = vds.predict(*pair, x)
        torch.testing.assert_close(mixture.probs[r], alone.probs)
        torch.testing.assert_close(mixture.cut(depth=1).log_prob(y.expand(3, -1))[r], alone.cut(depth=1).log_prob(y))
        torch.testing.assert_close(mixture.entropy().mutual_information[r], alone.entropy().mutual_information)


def test_points_that_a_loader_shuffles_are_read_once_for_all_trees():
    torch.manual_seed(0)
    x, y = torch.randn(12, 2), torch.randint(0, 3, (12,))
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 3), num_data=12)
    guide = vds.AutoCategorical(model)
    shuffled = DataLoader(TensorDataset(x, y), 5, shuffle=True)
    tree = vds.to_datatree(model, guide, shuffled, draws=3)
    points, labels = (torch.as_tensor(tree[g][n].values) for g, n in (("constant_data", "x"), ("observed_data", "obs")))
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        expected = vds.to_datatree(one, its_guide, points, labels, draws=3, seed=r)
        for group in ("architecture", "log_likelihood"):
            name = "obs" if group == "log_likelihood" else "log_likelihood"
            found, alone = tree[group][name].values[r], expected[group][name].values
            np.testing.assert_allclose(found, alone[0] if group == "log_likelihood" else alone)


def test_a_plain_network_has_its_evidence():
    x, y = torch.randn(6, 2), torch.randint(0, 3, (6,))
    plain = vds.ResidualMLP(2, 3, 4, 2, readout="last")
    for model in (vds.VDSModel(net, num_data=6) for net in (plain, vds.Replicated(plain, 2))):
        guide = vds.AutoCategorical(model)
        exact = vds.exact_posterior(model, (x, y))
        expected = vds.log_predictive(model, guide, x, y).sum(-1)
        torch.testing.assert_close(torch.as_tensor(exact.log_evidence), expected)
        torch.testing.assert_close(torch.as_tensor(exact.gap(guide)), torch.zeros_like(expected))


def test_replicates_that_are_not_there_are_refused(trained):
    model, _, x, _ = trained
    for index in (-1, 3):
        with pytest.raises(IndexError, match=r"Expected a replicate in 0\.\.2"):
            model.replicate(index)
    with pytest.raises(ValueError, match="Expected one network, got replicates"):
        vds.multiply_adds(model.backbone, x)

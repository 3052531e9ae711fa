"""Dependence between sites against sums over all architectures, and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch

from pyro_vds import dependence

SHAPES = [(2, 3), (3, 3, 3), (2, 3, 4, 2)]


def drawn(shape, seed=0):
    weights = np.exp(2 * np.random.default_rng(seed).normal(size=shape))
    return weights / weights.sum()


def of_sites(joint, *sites):
    """The probabilities of some sites, by a loop over architectures."""
    found = {}
    for a in itertools.product(*map(range, joint.shape)):
        key = tuple(a[site] for site in sites)
        found[key] = found.get(key, 0.0) + joint[a]
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_entropy_and_total_correlation_are_sums_over_architectures(shape):
    joint = drawn(shape)
    single = [of_sites(joint, site) for site in range(joint.ndim)]
    entropy = total = 0.0
    for a in itertools.product(*map(range, shape)):
        entropy -= joint[a] * math.log(joint[a])
        total += joint[a] * math.log(joint[a] / math.prod(p[(i,)] for p, i in zip(single, a, strict=True)))
    assert dependence.entropy(joint) == pytest.approx(entropy)
    assert dependence.total_correlation(joint) == pytest.approx(total)
    for found, expected in zip(dependence.marginals(joint), single, strict=True):
        np.testing.assert_allclose(found, list(expected.values()))


@pytest.mark.parametrize("shape", SHAPES)
def test_mutual_information_is_a_sum_over_pairs(shape):
    joint = drawn(shape)
    found = dependence.mutual_information(joint)
    for e, f in itertools.product(range(joint.ndim), repeat=2):
        pairs, one, other = of_sites(joint, e, f), of_sites(joint, e), of_sites(joint, f)
        expected = sum(p * math.log(p / (one[(i,)] * other[(j,)])) for (i, j), p in pairs.items())
        assert found[e, f] == pytest.approx(expected)


def test_a_product_has_none():
    parts = [drawn((3,), seed) for seed in range(3)]
    joint = np.einsum("i,j,k->ijk", *parts)
    assert dependence.total_correlation(joint) == pytest.approx(0, abs=1e-12)
    off = dependence.mutual_information(joint) - np.diag([dependence.entropy(p) for p in parts])
    np.testing.assert_allclose(off, 0, atol=1e-12)


def test_copies_share_all_and_parity_is_in_no_pair():
    copies = np.zeros((2, 2, 2))
    copies[0, 0, 0] = copies[1, 1, 1] = 0.5
    assert dependence.total_correlation(copies) == pytest.approx(2 * math.log(2))
    np.testing.assert_allclose(dependence.mutual_information(copies), math.log(2))
    parity = np.array([[[0.25, 0], [0, 0.25]], [[0, 0.25], [0.25, 0]]])
    assert dependence.total_correlation(parity) == pytest.approx(math.log(2))
    np.testing.assert_allclose(dependence.mutual_information(parity), math.log(2) * np.eye(3), atol=1e-12)


def test_tensors_with_gradients_are_taken():
    table = torch.zeros(2, 2, requires_grad=True).flatten().softmax(0).view(2, 2)
    assert dependence.entropy(table) == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        ([[0.5, 0.6]], "sum to one, got a sum of 1.1"),
        ([[1.5, -0.5]], "a smallest of -0.5"),
        ([[math.nan, 1.0]], "sum to one, got a sum of nan"),
        (1.0, r"a dimension for each site, got shape \(\)"),
        (np.zeros((0, 2)), "a dimension for each site"),
    ],
)
def test_what_are_no_probabilities_is_refused(joint, message):
    for measure in (dependence.entropy, dependence.marginals, dependence.total_correlation):
        with pytest.raises(ValueError, match=message):
            measure(joint)

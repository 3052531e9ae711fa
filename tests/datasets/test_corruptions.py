"""Corruptions do what they say, by known answers, and leave the global random state alone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pyro_vds.datasets import corruptions


def images():
    return torch.rand(2, 3, 12, 12)


def test_a_quarter_turn_is_exact():
    x = images()
    torch.testing.assert_close(corruptions.rotate(x, 90), x.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(corruptions.rotate(x, -180), x.rot90(2, (2, 3)), atol=1e-4, rtol=0)


def test_rotation_fills_the_corners():
    turned = corruptions.rotate(torch.ones(1, 1, 12, 12), 45, fill=-3)
    assert float(turned[0, 0, 0, 0]) == -3
    assert float(turned[0, 0, 6, 6]) == pytest.approx(1)


def test_noise_has_its_standard_deviation_and_is_not_clipped():
    noise = corruptions.gaussian_noise(torch.zeros(20, 3, 30, 30), 2.0, seed=0)
    assert float(noise.std()) == pytest.approx(2, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.min()) < -5


def test_noise_follows_its_seed_and_leaves_the_global_one():
    x, before = images(), torch.random.get_rng_state()
    first, same, other = (corruptions.gaussian_noise(x, 1.0, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_blur_equals_scipy():
    x = images()
    expected = gaussian_filter(x.numpy(), (0, 0, 1.2, 1.2), mode="mirror", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(corruptions.blur(x, 1.2), expected, atol=1e-6)


def test_strength_zero_changes_nothing():
    x = images()
    for same in (corruptions.rotate(x, 0), corruptions.gaussian_noise(x, 0, seed=0), corruptions.blur(x, 0)):
        torch.testing.assert_close(same, x)


@pytest.mark.usefixtures("as_a_user")
def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected floating-point images .*, got torch.uint8 \(2, 3, 12, 12\)"):
        corruptions.rotate(images().byte(), 10)
    with pytest.raises(ValueError, match="Expected a finite angle, got degrees=inf"):
        corruptions.rotate(images(), float("inf"))
    with pytest.raises(ValueError, match="Expected a standard deviation of at least 0, got std=-1"):
        corruptions.gaussian_noise(images(), -1, seed=0)
    with pytest.raises(ValueError, match=r"radius of 30 pixels, got \(12, 12\). Choose a smaller sigma"):
        corruptions.blur(images(), 10)

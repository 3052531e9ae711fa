"""Corruptions of images, to see how uncertainty grows with the shift of the data (Hendrycks and Dietterich 2019).

Images are floating point, ``(batch, channels, height, width)``, before or after normalisation: nothing is clipped.
Strength 0 changes nothing.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.ops.rng import isolated_rng

# torchvision takes a second to import, so the functions that need it import it.
Images = Float[Tensor, "batch channels height width"]


def rotate(images: Images, degrees: float, *, fill: float = 0.0) -> Images:
    """Rotate images counter-clockwise about their centre, with bilinear interpolation.

    Args:
        images: Images.
        degrees: The angle.
        fill: Value outside the frame. For normalised images 0 is the mean of the data, not black.

    Raises:
        ValueError: If the images are not four-dimensional floating point, or the angle is not finite.
    """
    from torchvision.transforms.v2 import InterpolationMode, functional

    _check(images, math.isfinite(degrees), f"a finite angle, got degrees={degrees}")
    return functional.rotate(images, float(degrees), InterpolationMode.BILINEAR, fill=[float(fill)])


def gaussian_noise(images: Images, std: float, *, seed: int) -> Images:
    """Add independent normal noise to every value.

    Args:
        images: Images.
        std: Standard deviation, in the units of the images.
        seed: Seed of the noise.

    Raises:
        ValueError: If the images are not four-dimensional floating point, or ``std`` is negative or not finite.
    """
    from torchvision.transforms.v2 import functional

    _check(images, 0 <= std < math.inf, f"a standard deviation of at least 0, got std={std}")
    with isolated_rng(images.device, seed):
        return functional.gaussian_noise(images, sigma=float(std), clip=False)


def blur(images: Images, sigma: float) -> Images:
    """Blur images with a normal kernel up to three standard deviations; the border is reflected.

    Args:
        images: Images.
        sigma: Standard deviation of the kernel, in pixels.

    Raises:
        ValueError: If the images are not four-dimensional floating point or too small for the kernel, or ``sigma`` is
            negative or not finite.
    """
    from torchvision.transforms.v2 import functional

    _check(images, 0 <= sigma < math.inf, f"a standard deviation of at least 0, got sigma={sigma}")
    if sigma == 0:
        return images
    radius = math.ceil(3 * sigma)
    if radius >= min(images.shape[-2:]):
        raise ValueError(
            f"Expected images larger than the kernel's radius of {radius} pixels, got {tuple(images.shape[-2:])}. "
            "Choose a smaller sigma."
        )
    return functional.gaussian_blur(images, [2 * radius + 1] * 2, [float(sigma)] * 2)


def _check(images: Tensor, valid: bool, expected: str) -> None:
    if images.ndim != 4 or not torch.is_floating_point(images):
        raise ValueError(
            f"Expected floating-point images (batch, channels, height, width), got {images.dtype} "
            f"{tuple(images.shape)}."
        )
    if not valid:
        raise ValueError(f"Expected {expected}.")

"""Subsets of a few things, all of them or some."""

import itertools
import math
from collections.abc import Sequence

import numpy as np


def subsets(items: Sequence[int], size: int, most: int, generator: np.random.Generator) -> list[tuple[int, ...]]:
    """Return all subsets of a size, or if there are more than ``most`` so many different ones, drawn uniformly.

    Args:
        items: What to choose from, in order.
        size: Number of items in each subset.
        most: The largest number of subsets.
        generator: Draws the subsets.

    Returns:
        The subsets, each in the order of ``items``.
    """
    if math.comb(len(items), size) <= most:
        return list(itertools.combinations(items, size))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < most:
        positions = sorted(generator.choice(len(items), size, replace=False).tolist())
        found[tuple(items[i] for i in positions)] = None
    return list(found)

"""Subsets of a few things: all of them, or different ones drawn evenly."""

import itertools
from collections import Counter

import numpy as np

from pyro_vds.ops.subsets import subsets


def test_few_subsets_are_all_of_them():
    assert subsets([3, 5, 8], 2, 3, np.random.default_rng(0)) == [(3, 5), (3, 8), (5, 8)]
    assert subsets([3, 5], 0, 1, np.random.default_rng(0)) == [()]


def test_many_subsets_are_drawn_evenly_and_differ():
    generator = np.random.default_rng(0)
    drawn = [subsets([1, 2, 3, 4], 2, 2, generator) for _ in range(1500)]
    assert all(len(set(some)) == 2 for some in drawn)
    counts = Counter(itertools.chain.from_iterable(drawn))
    assert set(counts) == set(itertools.combinations([1, 2, 3, 4], 2))
    assert max(abs(count - 500) for count in counts.values()) < 80

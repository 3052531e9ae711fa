"""Axes and spaces: labels, folding, and what a cut keeps."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vds.spaces import DATA, Axis, Plate, Space


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.booleans(), st.one_of(st.none(), st.integers(0, 3))), min_size=1, max_size=3
    ),
    st.integers(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_folding_keeps_all_probability_and_fits_what_is_kept(axes, seed):
    space = Space(Axis(f"axis{i}", tuple(range(10, 10 + n)), nested=nested) for i, (n, nested, _) in enumerate(axes))
    cut = {f"axis{i}": 10 + entry % n for i, (n, _, entry) in enumerate(axes) if entry is not None}
    log_q = torch.randn(space.count, generator=torch.Generator().manual_seed(seed)).log_softmax(0).view(space.sizes)
    folded = space.fold(log_q, cut)
    assert float(folded.exp().sum()) == pytest.approx(1)
    kept = torch.arange(space.count)[space.kept(cut)]
    assert len(kept) == folded.numel()
    names = list(space)
    for flat in kept.tolist():  # what stays is below the label of a nested axis, and at that of any other
        architecture = space.architecture(flat)
        for name, label in cut.items():
            axis = space[name]
            here, there = axis.index(architecture[name]), axis.index(label)
            assert here <= there if axis.nested else here == there
    assert [list(space.architecture(i)) for i in kept.tolist()[:1]] == [names]


def test_an_input_stops_where_it_should():
    space = Space([Axis("depth", (0, 1, 2), plate=DATA, nested=True)])
    q = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]).T
    found = space.stop(q.log(), torch.tensor([0, 1, 2])).exp()
    torch.testing.assert_close(found.T, torch.tensor([[1.0, 0, 0], [0.2, 0.8, 0], [0.2, 0.3, 0.5]]))


def test_labels_are_found_by_their_kind():
    assert Axis("gate", (False, True)).index(True) == 1
    assert Axis("op", ("none", "skip")).index("skip") == 1
    with pytest.raises(TypeError, match="Expected depth as an int, got True"):
        Axis("depth", (0, 1)).index(True)
    with pytest.raises(ValueError, match=r"Expected a gate in \[False, True\], got 1"):
        Axis("gate", (False, True)).index(1)
    with pytest.raises(ValueError, match=r"Expected a depth in 0\.\.2, got 3"):
        Axis("depth", (0, 1, 2)).index(3)
    with pytest.raises(ValueError, match=r"Expected a op in \['none', 'skip'\], got 'conv'"):
        Axis("op", ("none", "skip")).index("conv")


@pytest.mark.parametrize("name", ["data", "obs", "replicate", "two words", ""])
def test_names_that_cannot_be_sites_are_refused(name):
    with pytest.raises(ValueError, match="Expected the name of an axis as an identifier other than"):
        Axis(name, (0, 1))


def test_bad_spaces_are_refused():
    with pytest.raises(ValueError, match="Expected one or more different labels for axis 'depth'"):
        Axis("depth", (1, 1))
    with pytest.raises(ValueError, match="Expected axes of different names"):
        Space([Axis("a", (0,)), Axis("a", (1,))])
    with pytest.raises(ValueError, match=r"Expected a model with an axis 'b' to cut, got axes \['a'\]"):
        Space([Axis("a", (0,))]).index({"b": 0})
    many = Space([Axis(f"a{i}", tuple(range(100))) for i in range(3)])
    with pytest.raises(ValueError, match="Expected at most 100,000 architectures to list, got 1,000,000"):
        many.architectures()


def test_a_space_moves_to_a_plate_and_back():
    space = Space([Axis("depth", (0, 1), nested=True), Axis("width", (8, 16))])
    assert space.plates == set()
    assert space.in_plate(DATA).plates == {Plate("data")}
    assert space.in_plate(DATA).in_plate(None) == space
    assert (space.sizes, space.count) == ((2, 2), math.prod((2, 2)))
    assert space.coords == {"depth": (0, 1), "width": (8, 16)}

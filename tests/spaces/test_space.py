"""Axes and spaces: labels, folding, and what a cut keeps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

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
    with pytest.raises(ValueError, match="Expected a name of an axis that is an identifier and none of"):
        Axis(name, (0, 1))


def test_bad_spaces_are_refused():
    with pytest.raises(ValueError, match="Expected one or more different labels for axis 'depth'"):
        Axis("depth", (1, 1))
    with pytest.raises(ValueError, match="Expected axes of different names"):
        Space([Axis("a", (0,)), Axis("a", (1,))])
    with pytest.raises(ValueError, match=r"Expected a model with an axis 'b' to cut, got axes \['a'\]"):
        Space([Axis("a", (0,))]).index({"b": 0})
    many = Space([Axis(f"a{i}", tuple(range(100))) for i in range(3)])
    with pytest.raises(ValueError, match="Expected at most 65,536 architectures to list, got 1,000,000"):
        many.architectures()


def test_a_space_moves_to_a_plate_and_back():
    space = Space([Axis("depth", (0, 1), nested=True), Axis("width", (8, 16))])
    assert space.plates == set()
    assert space.in_plate(DATA).plates == {Plate("data")}
    assert space.in_plate(DATA).in_plate(None) == space
    assert (space.sizes, space.count) == ((2, 2), math.prod((2, 2)))
    assert space.coords == {"depth": (0, 1), "width": (8, 16)}


@pytest.mark.parametrize("name", ["model", "batch_size", "self", "y", "chain", "log_q", "class", "keys", "training"])
def test_names_that_predictions_trees_and_modules_use_are_refused(name):
    with pytest.raises(ValueError, match="Expected a name of an axis"):
        Axis(name, (0, 1))


def test_names_and_labels_of_the_wrong_type_are_refused(as_a_user):
    with pytest.raises(TypeError, match="Expected the name of an axis as a str, got 3"):
        Axis(3, (0, 1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="Expected the labels of axis 'colour' as a tuple, got 'red'"):
        Axis("colour", "red")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="Expected hashable labels"):
        Axis("colour", ([1], [2]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="Expected a list of axes"):
        Space(["depth"])  # pyright: ignore[reportArgumentType]


def test_labels_of_arrays_and_tensors_become_numbers_of_python(as_a_user):
    for labels in (np.arange(3), torch.arange(3), (np.int64(0), 1, 2)):
        axis = Axis("depth", labels)  # pyright: ignore[reportArgumentType]
        assert [type(label) for label in axis.labels] == [int] * 3
        assert axis.index(np.int32(2)) == 2
    gate = Axis("gate", np.array([False, True]))  # pyright: ignore[reportArgumentType]
    assert gate.labels == (False, True)
    assert gate.index(np.bool_(True)) == gate.index(True) == 1
    with pytest.raises(ValueError, match="Expected one or more different labels"):
        Axis("depth", (torch.tensor(1), torch.tensor(1)))  # pyright: ignore[reportArgumentType]


def test_spaces_are_equal_only_in_the_same_order():
    a, b = Axis("a", (0, 1)), Axis("b", (0, 1))
    assert Space([a, b]) == Space([a, b])
    assert hash(Space([a, b])) == hash(Space([a, b]))
    assert Space([a, b]) != Space([b, a])


def test_stops_are_checked(as_a_user):
    space = Space([Axis("depth", (0, 1, 2), plate=DATA, nested=True)])
    space.check_stops(torch.tensor([0, 2]))
    for wrong in (torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(ValueError, match=r"Expected stops in 0\.\.2"):
            space.check_stops(wrong)
    for wrong in (torch.tensor([0.5]), torch.tensor([True]), torch.tensor([[1]])):
        with pytest.raises(TypeError, match="Expected a vector of whole numbers as stops"):
            space.check_stops(wrong)
    for other in (space.in_plate(None), Space([Axis("colour", (0, 1, 2), plate=DATA)])):
        with pytest.raises(ValueError, match="Expected a model with one nested axis and plate=DATA"):
            other.check_stops(torch.tensor([0]))

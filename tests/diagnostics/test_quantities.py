"""Axes of any name and any kind of labels: what diagnostics read from a tree, against sums by hand."""

import numpy as np
import pytest
import xarray as xr
from trees import COLOURS, random_tree, tree_of, tree_over

from pyro_vds.diagnostics import load_datatree, quantities, save_datatree


def test_the_first_axis_is_meant_unless_one_is_named():
    exact = quantities.exact_quantities(random_tree({"colour": COLOURS, "size": (8, 16)}))
    assert quantities.architecture_dims(exact) == ["colour", "size"]
    assert quantities.axis_of(exact, None) == "colour"
    assert quantities.axis_of(exact, "size") == "size"
    with pytest.raises(ValueError, match=r"Expected a tree with an axis 'depth', got the axes \['colour', 'size'\]"):
        quantities.axis_of(exact, "depth")


@pytest.mark.parametrize(
    ("labels", "label", "index"),
    [
        (COLOURS, "blue", 2),
        (COLOURS, np.str_("green"), 1),
        ((False, True), True, 1),
        ((False, True), np.True_, 1),
        ((8, 16, 32), 16, 1),
        ((8, 16, 32), np.int64(32), 2),
        (("none", "1", "2"), 2, 2),
    ],
)
def test_an_entry_is_found_by_its_label(labels, label, index):
    exact = quantities.exact_quantities(random_tree({"colour": labels}))
    assert quantities.entry_index(exact, "colour", label) == index


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        (COLOURS, "pink", r"Expected a colour in \['red', 'green', 'blue'\], got 'pink'"),
        ((False, True), 1, r"Expected a colour in \[False, True\], got 1"),
        ((0, 1, 2), True, r"Expected a colour in 0\.\.2, got True"),
        ((8, 16), 12, r"Expected a colour in \[8, 16\], got 12"),
    ],
)
def test_a_label_that_no_entry_has_is_refused(labels, label, message):
    with pytest.raises(ValueError, match=message):
        quantities.entry_index(quantities.exact_quantities(random_tree({"colour": labels})), "colour", label)


def test_other_axes_are_averaged_over_given_the_entry():
    tree = random_tree({"colour": COLOURS, "size": (8, 16)})
    exact = quantities.exact_quantities(tree)
    q, p = np.exp(exact["log_q"].to_numpy()), np.exp(exact["log_likelihood"].to_numpy())
    found = quantities.log_likelihood_along(exact, "size").transpose("size", "obs_id")
    for j in range(2):
        expected = sum(q[i, j] * p[i, j] for i in range(3)) / q[:, j].sum()
        np.testing.assert_allclose(found[j], np.log(expected))
    assert quantities.log_likelihood_along(quantities.exact_quantities(tree_of([0.5, 0.5])), "depth").dims == (
        "depth",
        "obs_id",
    )


def test_an_entry_without_mass_averages_the_others_evenly():
    p = np.random.default_rng(0).random((2, 3, 5))
    tree = tree_over({"size": (8, 16), "colour": COLOURS}, [[0, 0, 0], [0.2, 0.3, 0.5]], log_likelihood=np.log(p))
    found = quantities.log_likelihood_along(quantities.exact_quantities(tree), "size")
    np.testing.assert_allclose(found.sel(size=8), np.log(p[0].mean(0)))


def test_labels_survive_a_file(tmp_path):
    tree = random_tree({"colour": COLOURS, "on": (False, True), "size": (8, 16)}, nested=("size",))
    save_datatree(tree, tmp_path / "posterior.nc")
    back = quantities.exact_quantities(load_datatree(tmp_path / "posterior.nc"))
    assert [back[axis].to_numpy().tolist() for axis in ("colour", "on", "size")] == [
        list(COLOURS), [False, True], [8, 16],
    ]  # fmt: skip
    assert [bool(back[axis].attrs.get("nested")) for axis in ("colour", "on", "size")] == [False, False, True]


def test_replicates_are_refused_where_one_model_is_meant():
    with pytest.raises(ValueError, match="Expected the tree of one model, got the tree of replicates"):
        quantities.quantities_of_one_model(tree_of(np.eye(2)))
    with pytest.raises(ValueError, match="Expected a DataTree with a group 'architecture', got the groups"):
        quantities.exact_quantities(xr.DataTree())

"""Architectures in words: of any axis, with labels of any type."""

import pytest

import pyro_vds as vds
from pyro_vds.runs.cuts import as_labels, cut_text, parse_cut

AXES = {"depth": (0, 1, 2), "width": (8, 16), "colour": ("red", "green"), "rate": (0.5, 1.0), "gate": (False, True)}
AXES = vds.Space(vds.Axis(name, labels) for name, labels in AXES.items())
GRAPH = vds.Space([
    vds.Axis("open_", (False, True), vds.Plate("edge", 3), read_out=False),
    vds.Axis("op", ("none", "skip"), vds.Plate("way", 2), read_out=False),
])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("depth=2", {"depth": 2}),
        ("depth=0,width=16", {"depth": 0, "width": 16}),
        (" width = 8 , colour = green ", {"width": 8, "colour": "green"}),
        ("rate=0.50", {"rate": 0.5}),
        ("rate=1", {"rate": 1.0}),
        ("gate=True,depth=1", {"gate": True, "depth": 1}),
    ],
)
def test_words_become_labels_of_the_type_of_the_axis(text, expected):
    found = as_labels(AXES, parse_cut(text))
    assert found == expected
    assert [type(label) for label in found.values()] == [type(label) for label in expected.values()]


def test_labels_stay_as_they_are():
    cut = {"depth": 1, "colour": "red", "rate": 0.5, "gate": False}
    assert as_labels(AXES, cut) == cut
    assert cut_text(cut) == "depth 1, colour red, rate 0.5, gate False"


@pytest.mark.parametrize("text", ["", "depth", "depth=", "=3", "depth=1,", "depth=1,depth=2"])
def test_words_that_are_no_cut_are_refused(text):
    with pytest.raises(ValueError, match="Expected different axes with labels, such as depth=3,width=16, got"):
        parse_cut(text)


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ({"depth": 3}, r"Expected a depth in 0\.\.2, got 3"),
        ({"depth": "many"}, r"Expected a depth in 0\.\.2, got many"),
        ({"depth": 1.5}, r"Expected a depth in 0\.\.2, got 1\.5"),
        ({"width": "10"}, r"Expected a width in \[8, 16\], got 10"),
        ({"colour": "blue"}, r"Expected a colour in \['red', 'green'\], got blue"),
        ({"height": "1"}, "Expected a model with an axis 'height' to cut, got axes .*'depth', 'width', 'colour'"),
    ],
)
def test_axes_and_labels_that_are_not_there_are_named(cut, expected):
    with pytest.raises(ValueError, match=expected):
        as_labels(AXES, cut)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("open_=101", {"open_": (True, False, True)}),
        ("open_=1/0/1", {"open_": (True, False, True)}),
        ("open_=True/False/True,op=none/skip", {"open_": (True, False, True), "op": ("none", "skip")}),
    ],
)
def test_each_site_has_its_word(value, expected):
    found = as_labels(GRAPH, parse_cut(value))
    assert found == expected
    assert as_labels(GRAPH, {name: list(labels) for name, labels in found.items()}) == expected  # as JSON has them
    text = cut_text(found)
    assert text == {1: "open_ 101", 2: "open_ 101, op none/skip"}[len(found)]
    assert as_labels(GRAPH, parse_cut(text.replace(" ", "=").replace(",=", ","))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("open_=10", "Expected a open_ for each of 3 sites, such as 111, got 10"),
        ("open_=102", r"Expected a open_ in 0\.\.1, got 2"),
        ("op=none", "Expected a op for each of 2 sites, such as none/none, got none"),
        ("op=none/pool", r"Expected a op in \['none', 'skip'\], got pool"),
    ],
)
def test_words_that_do_not_fit_the_sites_are_named(text, expected):
    with pytest.raises(ValueError, match=expected):
        as_labels(GRAPH, parse_cut(text))

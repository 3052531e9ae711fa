"""Architectures in words: of any axis, with labels of any type."""

import pytest

from pyro_vds.runs.cuts import as_labels, cut_text, parse_cut

AXES = {"depth": (0, 1, 2), "width": (8, 16), "colour": ("red", "green"), "rate": (0.5, 1.0), "gate": (False, True)}


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

"""Settings of a sweep as data: combinations, and keys that tell them apart."""

import pytest

from pyro_vds.priors.families import Geometric
from pyro_vds.sweeps import Grid, Scan, product


def test_a_key_is_to_read_and_depends_on_every_setting_but_not_on_their_order():
    def key(base, repeats=2, **point):
        (trial,) = Grid([point], base, repeats).trials()
        return trial.key

    first = key({"width": 3, "noise": 0.2}, max_depth=5)
    assert first.startswith("max_depth=5-")
    assert first == key({"noise": 0.2, "width": 3}, max_depth=5)
    others = [key({"width": 4, "noise": 0.2}, max_depth=5), key({"width": 3, "noise": 0.2}, repeats=3, max_depth=5)]
    assert len({first, *others}) == 3
    assert key({}, prior=Geometric(0.5)).startswith("prior=Geometric-decay=0.5-")


def test_product_combines_values_and_cases():
    found = product({"a": (1, 2)}, [{"b": 3}, {"c": 4}])
    assert found == [{"a": 1, "b": 3}, {"a": 1, "c": 4}, {"a": 2, "b": 3}, {"a": 2, "c": 4}]


def test_other_data_sets_take_the_place_of_those_of_a_grid():
    grid = Grid(product({"data": ("mnist", "digits")}, {"max_depth": (1, 2)}), {"seed": 3}, repeats=2, compile=True)
    other = grid.on(["svhn"])
    assert [trial.values for trial in other.trials()] == [{"data": "svhn", "max_depth": d, "seed": 3} for d in (1, 2)]
    assert (other.repeats, other.compile) == (2, True)
    with pytest.raises(ValueError, match="an experiment on spirals"):
        Grid([{"max_depth": 1}]).on(["svhn"])


def test_a_scan_has_the_full_sizes_where_it_has_no_reduced_form():
    paper, tiny = Grid([{"width": 20}]), Grid([{"width": 2}])
    scan = Scan(measure=lambda *_: {}, paper=paper, tiny=tiny)
    assert [scan.grid(form) for form in ("paper", "cpu", "tiny")] == [paper, paper, tiny]

"""Sweeps go on where they were stopped, take over what is measured elsewhere, and keep results that JSON can hold."""

import json

import pytest
import torch

from pyro_vds.sweeps import Grid, Resources, Scan, product, results, run
from pyro_vds.sweeps.runner import rounded

CPU = Resources(torch.device("cpu"))


def test_a_killed_scan_goes_on_with_the_setting_that_it_was_in(tmp_path):
    done, kill = [], [1]

    def measure(values, repeats, resources):
        if values["number"] in kill:
            raise KeyboardInterrupt
        done.append(values["number"])
        return {"square": values["number"] ** 2}

    grid = Grid(product({"number": range(3)}))

    def start():
        return list(run(grid, measure, tmp_path, CPU, command="command"))

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done == [0]
    assert len(list(tmp_path.iterdir())) == 1, "a setting in flight leaves no file"
    kill.clear()
    assert ["exists" in line for line in start()] == [True, False, False]
    assert done == [0, 1, 2]
    assert all("exists" in line for line in start())
    contents = [json.loads((tmp_path / f"{trial.key}.json").read_text()) for trial in grid.trials()]
    assert [c["square"] for c in contents] == [0, 1, 4]
    assert all({"varied", "command", "seconds", "environment"} <= c.keys() for c in contents)


def test_results_have_six_digits_and_no_nan():
    found = rounded({"a": [1 / 3, float("nan")], "b": (float("-inf"), 2), "c": "x"})
    assert found == {"a": [0.333333, None], "b": [None, 2], "c": "x"}


def test_results_are_those_that_are_finished_in_the_order_of_the_grid(tmp_path):
    def measure(values, repeats, resources):
        return {"value": values["number"], "repeats": repeats, "device": str(resources.device)}

    whole, part = (Grid([{"number": n} for n in numbers], repeats=2) for numbers in ((3, 1, 2), (2, 3)))
    assert results(whole, tmp_path) == []
    lines = list(run(part, measure, tmp_path, CPU))
    assert [line.split("]")[0] for line in lines] == ["[1/2", "[2/2"]
    assert [(r["value"], r["repeats"], r["device"]) for r in results(whole, tmp_path)] == [(3, 2, "cpu"), (2, 2, "cpu")]


def test_a_result_is_taken_over_only_from_a_scan_that_measures_the_same(tmp_path):
    counted = []

    def measure(values, repeats, resources):
        counted.append(values)
        return {"square": values["number"] ** 2}

    def measure_otherwise(values, repeats, resources):
        return {"square": -1}

    first, again = Grid([{"number": 3}]), Grid([{"number": 3}])
    list(run(first, measure_otherwise, tmp_path / "others", CPU))
    list(run(first, measure, tmp_path / "first", CPU, command="the first"))
    scans = {
        "first": Scan(measure=measure, paper=first, tiny=first),
        "others": Scan(measure=measure_otherwise, paper=first, tiny=first),
    }
    (line,) = run(again, measure, tmp_path / "again", CPU, command="the second", find_scan=scans.get)
    assert line.endswith("copied from first")
    (found,) = results(again, tmp_path / "again")
    assert (found["square"], found["taken_from"], found["command"]) == (9, "first", "the second")
    (line,) = run(again, measure, tmp_path / "alone", CPU)
    assert line.endswith(" s")
    assert len(counted) == 2

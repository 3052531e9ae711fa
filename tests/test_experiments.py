"""Scans know their settings, go on where they were stopped, and give results that figures can be drawn of."""

import copy
import importlib
import json
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import experiments
import pyro_vds as vds
from experiments import __main__, figures
from experiments.claims import compared
from experiments.engine import results
from experiments.engine.measures import measure_depths, measure_repeat, measure_repeats, paper_ece
from experiments.engine.svhn import LAST_TRAINING_PHOTO, svhn_test_digits
from experiments.engine.training import as_settings, train_repeats
from experiments.image_guide_lag import compare_modes, posterior_in_train_mode
from pyro_vds import sweeps
from pyro_vds.runs import build
from pyro_vds.runs.data import DataSummary, load_data

CPU = sweeps.Resources(torch.device("cpu"))
MODULES = [m.name for m in pkgutil.iter_modules(experiments.__path__) if not m.ispkg and not m.name.startswith("_")]
SCANS = {n: m.SCAN for n in MODULES if hasattr(m := importlib.import_module(f"experiments.{n}"), "SCAN")}
FORMS = ("paper", "cpu", "tiny")
SMALL = {"data": "spirals", "num_points": 60, "train_fraction": 0.5, "max_depth": 2, "width": 3, "max_epochs": 5}


def values_of(name, form="paper"):
    return [trial.values for trial in SCANS[name].grid(form).trials()]


@pytest.mark.parametrize("name", SCANS)
def test_each_setting_has_a_key_of_its_own(name):
    trials = {form: SCANS[name].grid(form).trials() for form in FORMS}
    for form in FORMS:
        assert len({trial.key for trial in trials[form]}) == len(trials[form])
    assert not {t.key for t in trials["tiny"]} & {t.key for t in trials["paper"]}


def test_scans_are_those_of_the_paper():
    assert [v["max_depth"] for v in values_of("max_depth")] == [*range(5, 41, 5), *range(50, 101, 10)]
    assert [v["max_depth"] for v in values_of("deterministic_depth")] == list(range(41))
    assert [v["rotation"] for v in values_of("rotation")] == list(range(180, 1441, 180))
    assert [v["width"] for v in values_of("width")] == [5, 10, 20, *range(40, 101, 10), 150, 200, 500, 1000]
    assert values_of("width", "cpu") == values_of("width")[:-2]
    assert len(values_of("image_max_depth")) == 3 * 16
    for name, noise in (("max_depth", 0.2), ("width", 0.2), ("rotation", 0.15), ("data_amount", 0.15)):
        assert all(as_settings(values, CPU).noise == noise for values in values_of(name)), name
    assert all(as_settings(v, CPU).readout == "last" for v in values_of("image_deterministic_depth", "cpu"))
    shared = [
        {k: v for k, v in values.items() if k != "head_statistics"} for values in values_of("image_shared_statistics")
    ]
    assert shared == [values for values in values_of("image_max_depth") if values["max_depth"]]
    assert all(as_settings(v, CPU).head_statistics == "shared" for v in values_of("image_shared_statistics"))


@pytest.mark.parametrize("number", [0, 7, 15])
def test_data_amounts_are_full_batches_of_50_to_800_points(number):
    values = values_of("data_amount")[number]
    settings = as_settings(values, CPU)
    assert len(load_data(settings).train[0]) == 50 * (number + 1) <= settings.batch_size


def test_other_data_sets_take_the_place_of_those_of_a_scan():
    grid = SCANS["image_max_depth"].paper.on(["svhn"])
    assert [trial.values["data"] for trial in grid.trials()] == ["svhn"] * 16
    with pytest.raises(ValueError, match="an experiment on spirals"):
        SCANS["width"].paper.on(["svhn"])


def test_what_another_experiment_has_measured_is_taken_over(tmp_path):
    scan = SCANS["calibration"]
    (trial,) = replace(scan.tiny, points=[{"data": "digits"}]).trials()
    (twin,) = [t for t in SCANS["image_max_depth"].tiny.trials() if t.digest == trial.digest]
    other = {"varied": {"max_depth": 2}, "command": "the first", "repeats": [1]}
    for name, path in (("guide_lag", "other measures"), ("elsewhere", "no experiment"), ("image_max_depth", twin.key)):
        (tmp_path / name).mkdir()
        suffix = "" if path == twin.key else f"-{trial.digest}"
        (tmp_path / name / f"{path}{suffix}.json").write_text(json.dumps(other | {"from": name}))
    grid = replace(scan.tiny, points=[{"data": "digits"}])
    (line,) = sweeps.run(
        grid, scan.measure, tmp_path / "calibration", CPU, command="the second", find_scan=results.find_scan
    )
    assert line.endswith("copied from image_max_depth")
    found = json.loads((tmp_path / "calibration" / f"{trial.key}.json").read_text())
    assert found == other | {
        "varied": {"data": "digits"},
        "from": "image_max_depth",
        "taken_from": "image_max_depth",
        "command": "the second",
    }


def test_the_command_runs_a_scan_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["experiments", "max_depth", "--tiny", "--out", str(tmp_path)])
    for expected in (False, True):
        __main__.main()
        lines = capsys.readouterr().out.splitlines()
        assert ["exists" in line for line in lines] == [expected] * 2
    one, other = results.results("max_depth", "tiny", tmp_path)
    assert one["command"] == f"python -m experiments max_depth --tiny --out {tmp_path}"
    assert (one["settings"]["max_depth"], other["settings"]["max_depth"]) == (1, 3)
    assert results.results("max_depth", "paper", tmp_path) == []


def calibrated(generator, scale, count=20000):
    """Draw class probabilities, and labels from them."""
    weights = np.exp(scale * generator.normal(size=(count, 10)))
    probs = weights / weights.sum(1, keepdims=True)
    labels = (probs.cumsum(1) > generator.random((count, 1))).argmax(1)
    return probs, labels


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_the_papers_ece_reads_a_tenth_on_calibrated_predictions(scale):
    probs, labels = calibrated(np.random.default_rng(0), scale)
    assert vds.calibration.ece(probs, labels) < 0.01
    assert 0.09 < paper_ece(probs, labels) < 0.11


def test_the_papers_ece_has_a_closed_form():
    """95 % for the predicted class, right 95 times in 100: nine entries in ten are 0.1 off, the tenth 0.05."""
    probs = np.full((100, 10), 0.05 / 9)
    probs[:, 0] = 0.95
    labels = np.array([0] * 95 + [1] * 5)
    assert vds.calibration.ece(probs, labels) == pytest.approx(0)
    assert paper_ece(probs, labels) == pytest.approx(0.9 * 0.1 + 0.1 * (1 - 0.95))
    always_wrong = np.ones(100, dtype=int)
    assert paper_ece(probs, always_wrong) == pytest.approx(0.9 * 0.1 + 0.1 * 1)


def alone(values, seed):
    settings = replace(as_settings(values, CPU), seed=seed)
    data = load_data(settings)
    model, guide = build.build(settings, DataSummary.of(data))
    history = build.train(settings, model, guide, data, progress=False)
    return model, guide, history


IMAGES = {"data": "digits", "channels_last": True, "channels": 4, "bottleneck": 2, "train_size": 100, "max_epochs": 2}


@pytest.mark.parametrize("how", [{}, {"readout": "last"}, {"readout": "last", "validation_fraction": 0.2}, IMAGES])
def test_each_repeat_is_what_it_would_be_alone(how):
    values = how | {"max_depth": 2} if "data" in how else SMALL | how
    trained, _ = train_repeats(values, 2, CPU)
    assert not how.get("channels_last") or trained[0].model.backbone.stem[0].weight.is_contiguous(
        memory_format=torch.channels_last
    )
    for seed, repeat in enumerate(trained):
        model, guide, history = alone(values, seed)
        torch.testing.assert_close(dict(repeat.model.state_dict()), dict(model.state_dict()))
        torch.testing.assert_close(dict(repeat.guide.state_dict()), dict(guide.state_dict()))
        assert repeat.history.best_epoch == history.best_epoch


def test_no_setting_of_a_model_is_dropped_without_a_word():
    (repeat,), _ = train_repeats(SMALL | {"widths": (2, 3), "guide": "joint"}, 1, CPU)
    assert repeat.model.axes == ("depth", "width")
    assert isinstance(repeat.guide, vds.AutoJointCategorical)
    for refused, expected in (
        ({"learn_prior": True}, "Expected learn_prior=False for replicates"),
        ({"guide": "per_input"}, "Expected the guide independent, conditional or joint to train repeats"),
    ):
        settings = as_settings(SMALL | refused, CPU)
        with pytest.raises(ValueError, match=expected):
            build.build(settings, DataSummary.of(load_data(settings)), repeats=2)
    with pytest.raises(ValueError, match="Expected settings with depth alone to measure repeats"):
        measure_repeats(SMALL | {"widths": (2, 3)}, 1, CPU)


def test_a_repeat_that_diverges_has_a_result():
    (repeat,), _ = train_repeats(SMALL | {"lr": 1e300}, 1, CPU)
    found = measure_repeat(repeat)["training"]
    assert found["stopped"] == "non_finite"
    assert found["best_epoch"] < 4


def test_a_repeat_says_how_long_it_went():
    trained, _ = train_repeats(SMALL | {"max_epochs": 200, "lr": 1.5, "patience": 4}, 3, CPU)
    found = [measure_repeat(repeat)["training"] for repeat in trained]
    assert max(f["epochs"] for f in found) == found[0]["epochs_of_all"]
    assert all(f["epochs"] == f["best_epoch"] + 5 for f in found if f["stopped"] == "patience")


def test_measures_of_depths_agree_with_those_of_a_guide_at_one_depth():
    (repeat,), _ = train_repeats(SMALL, 1, CPU)
    found = measure_depths(repeat.model, repeat.data.test)
    for depth in range(3):
        repeat.guide.set_probs({"depth": torch.eye(3)[depth]})
        expected = runs_measure(repeat)
        assert found["error"][depth] == pytest.approx(expected["error"])
        assert found["log_likelihood"][depth] == pytest.approx(expected["log_likelihood"])


def runs_measure(repeat):
    return measure_repeat(repeat)["test"]["full"]


def test_svhn_test_digits_are_split_by_photograph(shared_data):
    pytest.importorskip("scipy")
    resources = sweeps.Resources(torch.device("cpu"), str(shared_data))
    settings = as_settings({"data": "svhn_test_digits", "train_size": 500}, resources)
    data = svhn_test_digits(settings)
    assert (len(data.train[0]), len(data.validation[0]), len(data.test[0])) == (450, 50, 1999)
    assert data.test[0].shape[1:] == (3, 32, 32)
    assert int(data.test[1].max()) == 9
    assert LAST_TRAINING_PHOTO == 4032


def test_svhn_files_without_photographs_are_refused(tmp_path):
    io = pytest.importorskip("scipy.io")
    settings = as_settings({"data": "svhn_test_digits"}, sweeps.Resources(torch.device("cpu"), str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="--data-root"):
        svhn_test_digits(settings)
    (tmp_path / "SVHN").mkdir()
    io.savemat(tmp_path / "SVHN" / "test_32x32.mat", {"X": np.zeros((32, 32, 3, 2)), "y": np.ones((2, 1))})
    with pytest.raises(ValueError, match="--data svhn"):
        svhn_test_digits(settings)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The results of every scan in its tiny form; made in float32, before a test asks for float64."""
    folder = tmp_path_factory.mktemp("results")
    for name, scan in SCANS.items():
        list(sweeps.run(scan.tiny, scan.measure, folder / name, CPU, find_scan=results.find_scan))
    return {name: results.results(name, "tiny", folder) for name in SCANS}


def test_a_result_has_all_that_was_measured(tiny):
    for result in tiny["max_depth"]:
        size = result["settings"]["max_depth"] + 1
        for repeat in result["repeats"]:
            posterior = repeat["posterior"]
            assert len(posterior["q"]) == len(posterior["exact_posterior"]) == size
            assert len(posterior["train_log_likelihood_by_depth"]) == len(repeat["test_by_depth"]["error"]) == size
            assert posterior["evidence_gap"] == pytest.approx(posterior["log_evidence"] - posterior["elbo"], abs=1e-3)
            assert set(posterior["chosen_depth"]) == set(repeat["test"]["pruned"]) == {"95", "argmax", "expected"}
            assert {"true_class_probability", "paper_ece", "brier"} <= repeat["test"]["full"].keys()
    assert all("posterior" not in r for result in tiny["deterministic_depth"] for r in result["repeats"])


def test_guide_lag_compares_guide_and_exact_posterior(tiny):
    for result in tiny["guide_lag"]:
        states = result["repeats"][0]["states"]
        assert [s["epoch"] for s in states] == [1, 10, 11]
        for state in [*states, result["repeats"][0]["best"]]:
            q, p = np.array(state["q"]), np.array(state["exact_posterior"])
            assert state["gap"] == pytest.approx((q * np.log(q / p)).sum(), rel=1e-3, abs=1e-5)
        assert result["settings"]["guide_lr"] == result["guide_lr_factor"] * result["settings"]["lr"]
    slow, fast = (np.array(r["repeats"][0]["states"][-1]["q"]) for r in tiny["guide_lag"])
    assert np.abs(fast - 1 / 3).max() > np.abs(slow - 1 / 3).max()


def test_guide_lag_on_images_compares_each_mode(tiny):
    for result in tiny["image_guide_lag"]:
        for state in result["repeats"][0]["states"]:
            # One batch is the whole set: statistics of the batch and recalibrated ones differ by N / (N - 1).
            modes = [np.array(state[mode]["exact_posterior"]) for mode in ("train_mode", "recalibrated")]
            np.testing.assert_allclose(*modes, atol=0.01)
            assert np.abs(modes[0] - state["exact_posterior"]).max() > 0.1


def test_plain_or_learnt_measures_each_row(tiny):
    found = tiny["plain_or_learnt"]
    plain = ["ddn", "ddn_full", "ensemble3", "ensemble5", "mc_dropout"]
    learnt = [
        f"ldn_{how}{end}" for how in ("paper", "recipe", "floor") for end in ("", "_stacked", "_pruned", "_uniform")
    ]
    supervised = [f"deep_supervision{end}" for end in ("", "_stacked", "_last")]
    for data, measures in (("digits", {"error", "ece"}), ("diabetes", {"rmse", "interval_error"})):
        given = [result for result in found if result["settings"]["data"] == data]
        rows = {name: row for result in given for name, row in result["rows"].items()}
        assert list(rows) == [*plain, *learnt, *supervised]
        costs = {"seconds", "search_seconds", "milliseconds", "depth"}
        assert all(set(row) == {"log_likelihood", *measures, *costs} for row in rows.values())
        assert all(row["seconds"] <= row["search_seconds"] for row in rows.values())
        assert len(compared.table(given, data).splitlines()) == 2 + len(rows)
    lines = compared.summary(found).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| digits", "2"], ["| diabetes", "2"]]
    assert compared.summary([]).count("\n") == compared.shift_table([]).count("\n") == 1


def test_plain_or_learnt_chooses_by_validation_data(tiny):
    for result in tiny["plain_or_learnt"]:
        *choices, scores = zip(*result["validation_log_likelihood"], strict=True)
        best = scores.index(max(scores))
        method, data = result["settings"]["method"], result["settings"]["data"]
        assert result["chosen_optimiser"] == choices[0][best]
        if method == "ddn":
            assert result["chosen_depth"] == choices[1][best] == result["rows"]["ddn"]["depth"]
            # Digits: three optimisers at depth 2, then depth 1; diabetes: three optimisers and two depths.
            assert len(scores) == {"digits": 4, "diabetes": 6}[data]
        else:
            assert len(scores) == (1 if method == "ldn_paper" else 3)
        if method in ("ldn_recipe", "ldn_floor"):
            assert result["gap"] == pytest.approx(0, abs=1e-3)
    assert "`ldn_paper` sgd_0.5 (2);" in compared.choices(tiny["plain_or_learnt"], "digits")


def test_plain_or_learnt_sees_corrupted_images(tiny):
    digits = [result for result in tiny["plain_or_learnt"] if "corruptions" in result]
    assert len(digits) == len(tiny["plain_or_learnt"]) / 2
    for result in digits:
        assert [case["kind"] for case in result["corruptions"]] == ["rotation"] * 3 + ["noise"] * 3 + ["blur"] * 2
        assert all(set(case["rows"]) == set(result["rows"]) for case in result["corruptions"])
    assert len(compared.shift_table(digits).splitlines()) == 2 + 8 * 2


def test_every_setting_of_training_reaches_the_repeats():
    """A scan over ``guide_lr`` once trained without it, and still wrote it into its results."""
    values = SMALL | {"guide_lr": 0.7, "clip_norm": 0.05, "weight_decay": 0.2}
    (repeat,), _ = train_repeats(values, 1, CPU)
    settings = as_settings(values, CPU)
    model, guide = build.build(settings, build.DataSummary.of(repeat.data))
    torch.manual_seed(0)
    how = {"guide_lr": 0.7, "clip_norm": 0.05, "weight_decay": 0.2, "max_epochs": 5, "progress": False}
    elbo = vds.fit(model, guide, repeat.data.train, **how).elbo
    torch.testing.assert_close(repeat.history.elbo, elbo)
    assert not torch.allclose(train_repeats(SMALL, 1, CPU)[0][0].history.elbo, elbo)


@pytest.mark.parametrize("values", [{"learn_prior": True}, {"guide": "joint", "widths": (2, 3)}, {"recalibrate": True}])
def test_models_that_the_repeats_side_by_side_cannot_have_train_one_by_one(values):
    (repeat,), _ = train_repeats(SMALL | values, 1, CPU)
    model, guide = build.build(repeat.settings, DataSummary.of(repeat.data))
    build.train(repeat.settings, model, guide, repeat.data, progress=False)
    torch.testing.assert_close(repeat.model.state_dict(), model.state_dict())


def test_comparing_modes_leaves_training_alone():
    settings = as_settings(SMALL, CPU)
    data = load_data(settings)

    def trained(compare):
        model, guide = build.build(settings, DataSummary.of(data))
        how = {"max_epochs": 5, "batch_size": 7, "progress": False}
        torch.manual_seed(5)
        vds.fit(model, guide, data.train, **how, on_epoch=lambda _: compare(model, guide, data, settings))
        return model.state_dict(), guide.state_dict(), torch.get_rng_state()

    torch.testing.assert_close(trained(compare_modes), trained(lambda *_: None), rtol=0, atol=0)


def test_the_posterior_in_train_mode_is_that_of_plain_torch():
    (repeat,), _ = train_repeats(SMALL | {"max_epochs": 20}, 1, CPU)
    model, (x, y) = repeat.model.double(), (repeat.data.train[0].double(), repeat.data.train[1])
    network = copy.deepcopy(model.backbone).train()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        sums = [-F.cross_entropy(f, y[i], reduction="sum") for i in order.split(15) for f in network(x[i])]
    log_likelihood = torch.stack(sums).view(2, 3).sum(0)
    exact = posterior_in_train_mode(model, (x, y), 15, seed=3)
    torch.testing.assert_close(exact.log_likelihood, log_likelihood)
    evidence = torch.logsumexp(log_likelihood + model.log_prior(), 0)
    assert exact.log_evidence == pytest.approx(float(evidence))


DRAWN = {
    "figure_2": (("max_depth", "deterministic_depth"), {"max_depth": 3}),
    "figure_3": (("functions",), {"depths": (0, 2)}),
    "figure_4": (("image_max_depth", "image_deterministic_depth"), {"max_depth": 2}),
    "figure_5": (("width",), {}),
    "figure_6": (("rotation", "data_amount"), {}),
    "figure_7": (("rotation",), {}),
    "figure_8": (("data_amount",), {}),
    "figure_9": (("image_max_depth", "image_deterministic_depth"), {}),
    "figure_10": (("calibration",), {}),
    "figure_11": (("forward_time",), {}),
}


@pytest.mark.parametrize("name", figures.__all__)
def test_figures_draw(tiny, name):
    experiments_of, options = DRAWN[name]
    draw, given = getattr(figures, name), [tiny[experiment] for experiment in experiments_of]
    axes = draw(*given, **options)
    assert all(ax.get_xlabel() or ax.get_title() for ax in axes)
    axes[0].figure.canvas.draw()
    images = any(e.startswith(("image_", "calibration")) for e in experiments_of)
    assert images == ("4 channels" in axes[0].figure.get_suptitle()), "figures of images say how large they are"
    assert draw(*given, axes=axes, **options) == axes
    with pytest.raises(ValueError, match=rf"{experiments_of[0]}, got none. Make them: python -m experiments"):
        draw(*([] for _ in given), **options)
    with pytest.raises(ValueError, match=rf"Expected {len(axes)} axes"):
        draw(*given, axes=[*axes, axes[0]], **options)

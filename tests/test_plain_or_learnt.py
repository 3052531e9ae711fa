"""Learnt depth and its rivals: how they are trained, combined and tabled."""

import copy
from dataclasses import replace

import pytest
import torch

import pyro_vds as vds
from experiments.claims import compared
from experiments.engine.compared import METHODS
from experiments.engine.methods import settings_of, train
from experiments.engine.predictions import OF_CLASSES, OF_NUMBERS, combined, measured
from experiments.engine.shifted import detection
from experiments.engine.small_images import other_images
from experiments.engine.tasks import TASKS, TINY, load_task
from experiments.plain_or_learnt import measure_method
from pyro_vds.metrics.uncertainty import detect_outside
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.sweeps import Resources


def test_plain_or_learnt_takes_differences_by_pairs_of_seeds():
    measures = {"error": 0.0, "ece": 0.0, "seconds": 1.0, "search_seconds": 2.0, "milliseconds": 1.0, "depth": None}
    found = [
        {
            "settings": {"data": "digits", "seed": seed, "method": row},
            "rows": {row: measures | {"log_likelihood": value}},
        }
        for row, values in (("ddn", (-1.0, -3.0, -2.0)), ("ldn_paper", (-0.5, -2.0, -0.5)))
        for seed, value in enumerate(values)
    ]
    # 0.5, 1 and 1.5: mean 1, standard deviation 0.5, half width 4.303 * 0.5 / sqrt(3) = 1.242.
    line = compared.table(found, "digits").splitlines()[-1]
    assert line.startswith("| `ldn_paper` | -1.000 ± 0.866 | +1.000 [-0.242, +2.242] |")
    one = compared.table(found[2:4], "digits").splitlines()[-1]  # no seed in common
    assert one.startswith("| `ldn_paper` | -0.500 |  | 0.00 |")


def test_detection_and_corruptions_are_tabled_from_what_is_there():
    def result(method, rows, **settings):
        measures = {"error": 0.25, "log_likelihood": -1.0}
        return {
            "settings": {"data": "mnist", "method": method, **settings},
            "corruptions": [{"kind": "blur", "level": 0.5, "rows": dict.fromkeys(rows, measures)}],
            "outside": "svhn_test_digits",
            "detection": {row: {"entropy": 0.9, "mutual_information": 0.5 + 0.1 * settings["seed"]} for row in rows},
        }

    found = [result("ldn_recipe", ["ldn_recipe", "ldn_recipe_uniform"], seed=seed) for seed in (1, 2)]
    *_, blurred, entropy, disagreement = compared.shift_table([result("ddn", ["ddn"], seed=1), *found]).splitlines()
    filled = [[cell.strip() for cell in line.split("|") if cell.strip()] for line in (blurred, entropy, disagreement)]
    assert filled[0] == ["MNIST", "blur 0.5", "error, %", "25.00", "25.00 ± 0.00", "25.00 ± 0.00"]
    assert filled[1] == ["MNIST", "against SVHN test digits", "AUROC of entropy, %", "90.0", *["90.0 ± 0.0"] * 2]
    assert filled[2][2:] == ["AUROC of disagreement, %", *["65.0 ± 7.1"] * 2]


def test_another_data_set_is_refused():
    with pytest.raises(ValueError, match="Expected a data set of spirals, .*, got svhn"):
        measure_method({"data": "svhn", "method": "ddn", "seed": 0, "tiny": False}, 1, Resources(torch.device("cpu")))


def small(name, seed=0):
    task = replace(TINY[name], epochs=3)
    return task, load_task(name, task, seed, "nowhere")


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_an_ensemble_is_the_mean_of_its_members(name):
    task, data = small(name)
    nets = [train(task, data, seed, settings_of(task, "ddn", "sgd_0.9"), depth=1) for seed in (0, 1)]
    want = OF_CLASSES if data.classes else OF_NUMBERS
    x, y = data.test
    found = combined([vds.predict(net.model, net.guide, x, y, want=want)[0] for net in nets])
    mixtures = [vds.predict(net.model, net.guide, x) for net in nets]
    mean = torch.stack([mixture.log_prob(y).exp() for mixture in mixtures]).mean(0)
    torch.testing.assert_close(found["log_prob"].exp(), mean)
    if data.classes:
        probs = (mixtures[0].probs + mixtures[1].probs) / 2
        torch.testing.assert_close(found["probs"], probs)
        torch.testing.assert_close(found["total"], -(probs * probs.log()).sum(-1))
        torch.testing.assert_close(found["total"], found["expected"] + found["mutual_information"])
    else:
        torch.testing.assert_close(found["pit"], (mixtures[0].pit(y) + mixtures[1].pit(y)) / 2)
        assert measured(found, y, data)["rmse"] == pytest.approx(
            float(data.target_std * ((mixtures[0].mean + mixtures[1].mean) / 2 - y).square().mean().sqrt()), rel=1e-4
        )


@pytest.mark.usefixtures("float32")
def test_the_last_state_counts():
    task, data = small("digits")
    settings = settings_of(task, "ldn_recipe", "sgd_0.9") | {"tempered_num_data": 5}
    trained = train(task, data, 3, settings)
    states = []
    with isolated_rng(seed=3):
        network = vds.ResidualConvNet(1, 10, channels=4, bottleneck=2, max_depth=2)
    model = vds.VDSModel(network, num_data=len(data.train[0]))
    how = {"on_epoch": lambda _: states.append(copy.deepcopy(model.backbone.state_dict())), "progress": False}
    vds.fit(model, vds.AutoCategorical(model), data.train, seed=3, **how, **settings)
    torch.testing.assert_close(trained.model.backbone.state_dict(), states[-1])
    exact = vds.exact_posterior(trained.model, data.train)
    tempered = (exact.log_prior + exact.log_likelihood * 5 / len(data.train[0])).softmax(-1)
    torch.testing.assert_close(trained.guide.probs()["depth"].double(), tempered, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("float32")
def test_other_data_are_told_by_each_row():
    task, data = small("digits")
    assert float(METHODS["ddn"](task, data, 0).predict(data.test)["mc_dropout"]["mutual_information"].min()) > 0
    rivals = METHODS["deep_supervision"](task, data, 0)
    flipped = (data.test[0].flip(2)[:50], data.test[1][:50])
    found = detection(rivals, data, flipped[0])
    inside, outside = (rivals.predict(part) for part in (data.test, flipped))
    for name, row in found.items():
        assert row["entropy"] == detect_outside(inside[name]["total"], outside[name]["total"]).auroc
    assert (
        float(inside["deep_supervision_last"]["mutual_information"].max()) < 1e-5 < found["deep_supervision"]["entropy"]
    )
    assert float(inside["deep_supervision"]["mutual_information"].mean()) > 1e-3


@pytest.mark.usefixtures("float32")
def test_small_images_are_drawn_by_the_seed(shared_data):
    sets = [load_task("mnist", TASKS["mnist"], seed, str(shared_data)) for seed in (0, 0, 1)]
    assert [len(part[0]) for part in (sets[0].train, sets[0].validation, sets[0].test)] == [5400, 600, 5000]
    assert sets[0].train[0].shape[1:] == (1, 14, 14)
    assert torch.equal(sets[0].train[0], sets[1].train[0])
    assert not torch.equal(sets[0].train[1], sets[2].train[1])
    outside = other_images("fashion_mnist", sets[0], str(shared_data), 100)
    pixels = outside * sets[0].std[0] + sets[0].mean[0]
    assert outside.shape == (100, 1, 14, 14)
    assert 0 - 1e-5 <= float(pixels.min()) < float(pixels.max()) <= 1 + 1e-5
    numbers = load_task("concrete", TASKS["concrete"], 0, str(shared_data))
    assert (len(numbers.train[0]), len(numbers.validation[0]), len(numbers.test[0])) == (834, 93, 103)

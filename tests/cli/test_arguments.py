"""What the command line takes: configurations, options, flags and priors, and what it says of other words."""

import json
from dataclasses import fields
from functools import partial

import pytest
import torch

import pyro_vds as vds
from pyro_vds import load_run
from pyro_vds.cli import main as cli
from pyro_vds.diagnostics.files import load_datatree
from pyro_vds.priors.families import PRIORS
from pyro_vds.runs.build import build
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.settings import Settings
from pyro_vds.training.config import TrainingConfig
from tests.commands import BRIEF, fails, read_config, read_json

pytestmark = pytest.mark.usefixtures("float32")


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "FILE", "--max-epochs=1", "--seed", "7"],
        ["--max-epochs=1", "--seed", "7", "--config", "FILE"],
        ["--max-epochs", "1", "--config=FILE", "--seed=7"],
    ],
)
def test_options_win_over_a_config_wherever_they_stand(finished, tmp_path, words):
    words = [word.replace("FILE", str(finished[0] / "config.yaml")) for word in words]
    cli.main(["fit", *words, "--progress", "false", "--out", str(tmp_path / "other")])
    assert read_config(tmp_path / "other") == read_config(finished[0]) | {"max_epochs": 1, "seed": 7}


def test_data_named_first_and_later_configs_win_over_earlier_ones(tmp_path):
    (tmp_path / "a.yaml").write_text("data: mnist\nseed: 1\nmax_depth: 3\nwidth: 4\n")
    (tmp_path / "b.yaml").write_text("data: svhn\nmax_depth: 5\n")
    words = ["digits", "--config", str(tmp_path / "a.yaml"), "--seed", "7", f"--config={tmp_path / 'b.yaml'}"]
    found = cli.parse("fit", words)
    assert (found.data, found.seed, found.max_depth, found.width) == ("digits", 7, 5, 4)


def test_config_that_is_no_text_is_reported(capsys, tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    code, message = fails(capsys, "fit", "--config", tmp_path / "config.yaml")
    assert code == 2
    path = tmp_path / "config.yaml"
    assert message == f"pyro-vds fit: Expected a YAML file of settings at {path}, got one that is no text.\n"


def test_dashes_and_underscores_mean_the_same(tmp_path):
    cli.main([*BRIEF, "--noise-kind", "uniform", "--out", str(tmp_path / "dashes")])
    cli.main([*[word.replace("-", "_").replace("__", "--") for word in BRIEF], "--noise_kind=uniform", "--out",
              str(tmp_path / "underscores")])  # fmt: skip
    found = read_config(tmp_path / "dashes")
    assert found == read_config(tmp_path / "underscores")
    assert (found["max_epochs"], found["noise_kind"]) == (1, "uniform")


GRAPH = ["--network", "connectivity", "--layers", "1"]
GATE_OPTIONS = {
    "Price": {"nats": 2.5, "costs": [1.0, 0.5, 2.0]},
    "Exchangeable": {"a": 2.0, "b": 5.0},
}
PRIOR_OPTIONS = {
    "Geometric": {"decay": 0.5},
    "Uniform": {},
    "Poisson": {"rate": 6.0},
    "NegativeBinomial": {"total_count": 3.0, "probs": 0.25},
    "Weights": {"probs": [0.5, 0.25, 0.25]},
    "Cost": {"costs": [1.0, 2.0, 3.0], "strength": 0.5},
    "Dirichlet": {"concentration": [1.0, 2.0, 3.0]},
}


def test_every_prior_is_tried():
    assert PRIOR_OPTIONS.keys() | GATE_OPTIONS.keys() | {"Hierarchical"} == PRIORS.keys()


@pytest.mark.parametrize("name", GATE_OPTIONS)
def test_prior_over_edges_arrives_in_the_config_and_the_model(tmp_path, name):
    arguments = GATE_OPTIONS[name]
    words = [word for key, value in arguments.items() for word in (f"--prior.{key}", str(value))]
    brief = [word for word in BRIEF if word not in ("--max-depth", "2")]
    cli.main([*brief, *GRAPH, "--prior", name, *words, "--out", str(tmp_path / "run")])
    assert read_config(tmp_path / "run")["prior"] == {"class_path": name, "init_args": arguments}
    loaded = load_run(tmp_path / "run")
    assert loaded.settings.prior == loaded.model.priors["gate"] == PRIORS[name](**arguments)


def test_hierarchical_and_learnt_priors_come_back(capsys, tmp_path):
    words = ["Hierarchical", "--prior.prior", "Geometric", "--prior.parameter", "decay", "--prior.hyperprior", "Beta"]
    cli.main([*BRIEF, "--prior", *words, "--prior.hyperprior.a", "2", "--prior.hyperprior.b", "3", "--out",
              str(tmp_path / "run")])  # fmt: skip
    cli.main(["evaluate", str(tmp_path / "run")])
    assert "depth_decay" in load_datatree(tmp_path / "run" / "posterior.nc")["posterior"]
    cli.main([*BRIEF, "--learn-prior", "--out", str(tmp_path / "learnt")])
    cli.main(["evaluate", str(tmp_path / "learnt")])
    assert read_config(tmp_path / "learnt")["learn_prior"] is True


@pytest.mark.parametrize("name", PRIOR_OPTIONS)
def test_prior_arrives_in_the_config_and_the_model(tmp_path, name):
    arguments = PRIOR_OPTIONS[name]
    words = [word for key, value in arguments.items() for word in (f"--prior.{key}", str(value))]
    cli.main([*BRIEF, "--prior", name, *words, "--out", str(tmp_path / "run")])
    written = read_config(tmp_path / "run")["prior"]
    assert written == {"class_path": name, "init_args": arguments}
    loaded = load_run(tmp_path / "run")
    assert loaded.settings.prior == PRIORS[name](**arguments)
    metrics = read_json(tmp_path / "run" / "metrics.json")["posterior"]
    log_posterior = torch.tensor(metrics["train_log_likelihood"]).double() * 4
    log_posterior += loaded.settings.prior(3).logits
    torch.testing.assert_close(
        log_posterior.softmax(0), torch.tensor(metrics["axes"]["depth"]["exact"]).double(), atol=1e-5, rtol=0
    )


def test_recalibrate_and_compile_are_flags(tmp_path):
    cli.main([*BRIEF, "--recalibrate", "--compile", "--out", str(tmp_path / "run")])
    config = read_config(tmp_path / "run")
    assert (config["recalibrate"], config["compile"]) == (True, True)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["training"]["compile_seconds"] > 0


def test_help_has_every_setting_of_training_with_its_defaults(capsys):
    cli.main(["fit", "--help", "all"])
    words = " ".join(capsys.readouterr().out.split())
    for field in fields(TrainingConfig):
        assert f"--{field.name.replace('_', '-')} " in words
    assert (
        "Learning rate; None is the optimiser's own. Default of recipe: 0.1, 0.01 for diabetes and gap_1d and uci"
        in words
    )


def test_optimiser_and_schedule_arrive_in_the_config_and_repeat_the_run(tmp_path):
    words = ["--optimizer", "AdamW", "--optimizer.lr", "0.02", "--scheduler", "CosineAnnealingLR", "--scheduler.T_max",
             "3", "--max-epochs", "3", "--guide-lr", "0.5", "--clip-norm", "0.5", "--averaging", "ema"]  # fmt: skip
    cli.main([*BRIEF, *words, "--out", str(tmp_path / "run")])
    config = read_config(tmp_path / "run")
    assert config["optimizer"]["class_path"] == "torch.optim.adamw.AdamW"
    assert config["optimizer"]["init_args"].items() >= {"lr": 0.02, "weight_decay": 0.01}.items()
    assert config["scheduler"]["init_args"]["T_max"] == 3
    assert (config["guide_lr"], config["clip_norm"], config["averaging"]) == (0.5, 0.5, "ema")
    assert "lr" not in config, "the optimiser's own holds"
    cli.main(["fit", "--config", str(tmp_path / "run" / "config.yaml"), "--out", str(tmp_path / "again")])
    assert read_config(tmp_path / "again") == config
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]
    cli.main(["evaluate", str(tmp_path / "run")])


def test_the_optimiser_of_the_command_line_trains_as_in_python(tmp_path):
    words = ["--optimizer", "torch.optim.RMSprop", "--optimizer.lr", "0.005", "--max-epochs", "4", "--preset", "paper"]
    cli.main([*BRIEF, *words, "--out", str(tmp_path / "run")])
    settings = Settings(num_points=40, max_depth=2, width=4)
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    history = vds.fit(
        model, guide, data.train, optimizer=partial(torch.optim.RMSprop, lr=0.005), max_epochs=4, progress=False
    )
    found = load_run(tmp_path / "run").history
    torch.testing.assert_close(found.elbo, history.elbo)


def test_unknown_key_of_a_config_is_named(capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("data: spirals\nmax_deepness: 3\n")
    code, message = fails(capsys, "fit", "--config", tmp_path / "config.yaml", "--out", tmp_path / "run")
    assert code == 2
    assert "max_deepness" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--prior", "Nope"], "Nope"),
        (["--prior", "Poisson"], "rate"),
        (["--max-depth", "many"], "many"),
        (["--data", "cifar"], "cifar"),
        (["--max-deepness", "3"], "deepness"),
        (["--optimizer", "NoSuchOptimizer"], "NoSuchOptimizer"),
        (["--optimizer", "AdamW", "--optimizer.momentum", "0.5"], "momentum"),
        (["--averaging", "mean"], "mean"),
    ],
)
def test_words_that_are_no_setting_are_named(capsys, tmp_path, words, named):
    code, message = fails(capsys, *BRIEF, *words, "--out", tmp_path / "run")
    assert code == 2
    assert named in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--prior", "Weights", "--prior.probs", "[0.5, 0.5]"], "Expected 3 probs, one for each entry of the axis"),
        (["--prior", "Poisson", "--prior.rate", "-1"], "Expected a positive, finite rate, got rate=-1.0"),
        (["--num-points", "1"], "Expected --num-points >= 2"),
        (["--width", "0"], "Expected width of at least 1, got 0"),
        (["--device", "nowhere"], "Expected --device auto, cpu or another device of this machine, got nowhere"),
        (["--device", "meta"], "Expected --device auto, cpu or another device of this machine, got meta"),
        (["--weight-decay", "-1"], "Expected a finite --weight-decay of at least 0, got -1.0"),
        (["--milestones", "[5, 3]"], "Expected milestones as increasing epochs of at least 1, got [5, 3]"),
        (["--data", "npz"], "Expected --data-path FILE.npz"),
        (["--optimizer", "AdamW", "--momentum", "0.5"], "Expected an optimiser with a momentum, got AdamW"),
        (["--optimizer", "LBFGS"], "Expected an optimiser that needs one gradient in a step, got LBFGS"),
        (["--optimizer", "AdamW", "--optimizer.lr", "-1"], "Invalid learning rate: -1"),
        (["--data", "uci", "--uci-name", "wine", "--data-root", "nowhere"], "Expected the UCI set wine at nowhere/uci"),
    ],
)
def test_settings_out_of_range_leave_no_folder(capsys, tmp_path, words, expected):
    code, message = fails(capsys, *BRIEF, *words, "--out", tmp_path / "run")
    assert code == 1
    assert message.startswith(f"pyro-vds: {expected}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--lr", "-1"], "Expected a positive, finite lr, got -1.0"),
        (["--seed", "99999999999999999999"], "Expected a seed in 0..2**63 - 1, got 99999999999999999999"),
        (["--width", "3000000"], "Expected the network to fit into memory, but it does not. Reduce --width"),
    ],
)
def test_bad_settings_are_reported_before_anything_is_written(capsys, tmp_path, options, expected):
    code, message = fails(capsys, *BRIEF, *options, "--out", tmp_path / "run")
    assert code == 1
    assert expected in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "got"), [([], "none."), (["evalute"], "evalute. Did you mean evaluate?")])
def test_a_missing_or_unknown_command_lists_the_commands(capsys, words, got):
    code, message = fails(capsys, *words)
    assert code == 2
    assert message == f"pyro-vds: Expected a command, one of {', '.join(cli.COMMANDS)}, got {got}\n"

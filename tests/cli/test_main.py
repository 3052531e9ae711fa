"""The command line, run in process on tiny settings: files, numbers, repeats, and errors that help."""

import contextlib
import io
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import pyro_vds as vds
from pyro_vds import predict_proba, prune
from pyro_vds.cli import fit as fit_command
from pyro_vds.cli import main as cli
from pyro_vds.diagnostics.files import load_datatree
from pyro_vds.priors.families import PRIORS, Geometric
from pyro_vds.runs import figures, files
from pyro_vds.runs.build import DataSummary, build
from pyro_vds.runs.folder import Run, load_run
from pyro_vds.runs.reweighting import POWERS
from pyro_vds.runs.settings import Settings
from pyro_vds.training.config import TrainingConfig

SPIRALS = ["fit", "spirals", "--num-points", "200", "--max-depth", "2", "--progress", "false"]
BRIEF = [*SPIRALS, "--max-epochs", "1", "--num-points", "40", "--width", "4"]
FIGURES = {"functions.png", "history.png", "posterior.png", "reliability.png"}
FILES = {
    "config.yaml",
    "data.json",
    "environment.json",
    "figures",
    "history.safetensors",
    "metrics.json",
    "posterior.nc",
    "summary.txt",
    "weights.safetensors",
}


@pytest.fixture(autouse=True)
def float32(nothing_global_changes: None) -> Iterator[None]:
    """The command line computes in single precision."""
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A run of spirals, and what it printed; read-only for the tests."""
    out, text = tmp_path_factory.mktemp("cli") / "run", io.StringIO()
    with contextlib.redirect_stdout(text):
        cli.main([*SPIRALS, "--max-epochs", "20", "--rule", "expected", "--out", str(out)])
    return out, text.getvalue()


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def fails(capsys, *words: object) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and its message."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(word) for word in words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, capsys.readouterr().err


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def read_config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def load(folder: Path) -> Run:
    """Read a run of spirals with the settings of the shared run."""
    config = read_config(folder)
    del config["prior"], config["width_prior"]
    return load_run(folder, Settings(**config | {"milestones": tuple(config["milestones"])}))


def table(text: str) -> dict[str, list[float]]:
    """Return the rows of the test table of a summary."""
    rows = [line.replace("%", "").split() for line in text.splitlines() if line.startswith(("full", "pruned "))]
    return {row[0]: [float(word) for word in row[1:5]] for row in rows if row[1] != "to"}


def expected_table(metrics: dict) -> dict[str, list[float]]:
    percent = {"error": 100, "ece": 100}
    return {
        case: [pytest.approx(v * percent.get(n, 1), abs=10 ** -(2 if n in percent else 4)) for n, v in values.items()]
        for case, values in metrics["test"].items()
    }


# fit


def test_fit_writes_the_files_of_a_run(finished):
    assert {path.name for path in finished[0].iterdir()} == FILES
    assert {path.name for path in (finished[0] / "figures").iterdir()} == FIGURES


def test_fit_leaves_no_partial_folder(finished):
    assert [path.name for path in finished[0].parent.iterdir()] == ["run"]


def test_fit_prints_the_chosen_depth_and_where_the_files_are(finished):
    out, text = finished
    posterior = read_json(out / "metrics.json")["posterior"]
    assert f"chosen depth: {posterior['chosen_depth']['expected']} of 0..2 (rule expected;" in text
    assert f"ELBO {posterior['elbo']:.2f} nats, log evidence {posterior['log_evidence']:.2f}" in text
    assert f"figures and files: {out}" in text


def test_summary_file_holds_what_fit_prints_of_the_result(finished):
    out, text = finished
    summary = (out / "summary.txt").read_text()
    assert text.startswith(summary)
    assert table(summary) == table(text)


def test_fit_prints_the_test_table_of_full_and_pruned(finished):
    out, text = finished
    metrics = read_json(out / "metrics.json")
    assert list(metrics["test"]) == ["full", "pruned"]
    assert table(text) == expected_table(metrics)
    assert "test (180 points)" in text


def test_metrics_are_consistent(finished):
    metrics = read_json(finished[0] / "metrics.json")
    posterior = metrics["posterior"]
    assert (metrics["train_size"], metrics["test_size"], metrics["training"]["epochs"]) == (20, 180, 20)
    assert sum(posterior["q"]) == pytest.approx(1)
    assert posterior["evidence_gap"] == pytest.approx(posterior["log_evidence"] - posterior["elbo"], abs=1e-3)
    assert posterior["chosen_depth"]["expected"] == round(sum(d * q for d, q in enumerate(posterior["q"])))
    assert metrics["parameters"]["pruned"] < metrics["parameters"]["full"]


def test_config_alone_repeats_the_run_exactly(finished, tmp_path):
    out = finished[0]
    cli.main(["fit", "--config", str(out / "config.yaml"), "--progress", "false", "--out", str(tmp_path / "again")])
    first, again = (read_json(folder / "metrics.json") for folder in (out, tmp_path / "again"))
    assert first["training"].pop("seconds") > 0
    assert again["training"].pop("seconds") > 0
    assert again == first
    assert read_config(tmp_path / "again") == read_config(out)
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()


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


def test_data_named_first_and_later_configs_win_over_earlier_ones():
    words = ["fit", "digits", "--config", "a", "--seed", "7", "--config=b"]
    assert cli._spelled(words) == ["fit", "--config", "a", "--config=b", "--data", "digits", "--seed", "7"]


def test_config_that_is_no_text_is_reported(capsys, tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    code, message = fails(capsys, "fit", "--config", tmp_path / "config.yaml")
    assert code == 1
    assert message.startswith("pyro-vds: ")
    assert message.count("\n") == 1


def test_dashes_and_underscores_mean_the_same(tmp_path):
    cli.main([*BRIEF, "--noise-kind", "uniform", "--out", str(tmp_path / "dashes")])
    cli.main([*[word.replace("-", "_").replace("__", "--") for word in BRIEF], "--noise_kind=uniform", "--out",
              str(tmp_path / "underscores")])  # fmt: skip
    found = read_config(tmp_path / "dashes")
    assert found == read_config(tmp_path / "underscores")
    assert (found["max_epochs"], found["noise_kind"]) == (1, "uniform")


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
    assert PRIOR_OPTIONS.keys() | {"Hierarchical"} == PRIORS.keys()


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
    loaded = load_run(tmp_path / "run", Settings(max_depth=2, width=4, prior=PRIORS[name](**arguments)))
    metrics = read_json(tmp_path / "run" / "metrics.json")["posterior"]
    log_posterior = torch.tensor(metrics["train_log_likelihood_by_depth"]).double() * 4
    log_posterior += loaded.settings.prior(3).logits
    torch.testing.assert_close(
        log_posterior.softmax(0), torch.tensor(metrics["exact_posterior"]).double(), atol=1e-5, rtol=0
    )


def test_help_has_every_setting_of_training_with_its_defaults(capsys):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    for field in fields(TrainingConfig):
        assert f"--{field.name} " in words
    assert "Learning rate; the optimiser's own unless given. Default: 0.1; 0.01 for diabetes, gap_1d, uci." in words


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
    words = ["--optimizer", "torch.optim.RMSprop", "--optimizer.lr", "0.005", "--max-epochs", "4"]
    cli.main([*BRIEF, *words, "--out", str(tmp_path / "run")])
    settings = Settings(num_points=40, max_depth=2, width=4)
    data = settings.load_data()
    model, guide = build(settings, DataSummary.of(data))
    history = vds.fit(
        model, guide, data.train, optimizer=partial(torch.optim.RMSprop, lr=0.005), max_epochs=4, progress=False
    )
    found = load_run(tmp_path / "run", settings).history
    torch.testing.assert_close(found.elbo, history.elbo)


def test_existing_folder_is_refused_and_kept(capsys, run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, message = fails(capsys, *BRIEF, "--out", run)
    assert code == 1
    assert f"Expected a new path, but {run} exists. Choose another one with --out, or replace it" in message
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("flag", [["--overwrite"], ["--overwrite", "true"], ["--overwrite=true"]])
def test_overwrite_replaces_the_run(run, flag):
    (run / "leftover").write_text("old")
    cli.main([*BRIEF, *flag, "--out", str(run)])
    assert {path.name for path in run.iterdir()} == FILES
    assert read_config(run)["max_epochs"] == 1


def test_without_out_a_new_folder_is_found_each_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        cli.main(BRIEF)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["spirals", "spirals-2"]


def test_recalibrate_and_compile_are_flags(tmp_path):
    cli.main([*BRIEF, "--recalibrate", "--compile", "--out", str(tmp_path / "run")])
    config = read_config(tmp_path / "run")
    assert (config["recalibrate"], config["compile"]) == (True, True)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["training"]["compile_seconds"] > 0


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
        (["--num-points", "1"], "Expected num_points >= 2"),
        (["--width", "0"], "Expected width of at least 1, got 0"),
        (["--device", "nowhere"], "Expected --device auto, cpu or another device of this machine, got nowhere"),
        (["--device", "meta"], "Expected --device auto, cpu or another device of this machine, got meta"),
        (["--optimizer", "AdamW", "--momentum", "0.5"], "Expected an optimiser with a momentum, got AdamW"),
        (["--optimizer", "LBFGS"], "Expected an optimiser that needs one gradient in a step, got LBFGS"),
        (["--optimizer", "AdamW", "--optimizer.lr", "-1"], "Invalid learning rate: -1"),
        (["--weight-decay", "-1"], "Expected a finite weight_decay of at least 0, got -1.0"),
        (["--milestones", "[5, 3]"], "Expected milestones as increasing numbers of epochs, 1 or more each, got [5, 3]"),
        (["--data", "npz"], "Expected --data-path FILE.npz"),
        (["--data", "uci", "--uci-name", "wine", "--data-root", "nowhere"], "Expected the UCI set wine at nowhere/uci"),
    ],
)
def test_settings_out_of_range_leave_no_folder(capsys, tmp_path, words, expected):
    code, message = fails(capsys, *BRIEF, *words, "--out", tmp_path / "run")
    assert code == 1
    assert message.startswith(f"pyro-vds: {expected}")
    assert list(tmp_path.iterdir()) == []


def test_failure_in_training_leaves_no_run_folder(capsys, tmp_path):
    code, message = fails(capsys, *BRIEF, "--batch-size", "1", "--out", tmp_path / "run")
    assert code == 1
    assert "Expected at least 2 points in each batch" in message
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith("run.partial-")
    assert f"What was written until then is in {partial}." in message


def test_run_that_diverges_keeps_weights_and_history_aside(capsys, tmp_path):
    code, message = fails(capsys, *SPIRALS, "--max-epochs", "5", "--lr", "1e30", "--out", tmp_path / "run")
    assert code == 1
    assert "Expected a finite ELBO, got nan" in message
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith("run.partial-")
    assert {"weights.safetensors", "history.safetensors"} <= {p.name for p in partial.iterdir()}


def test_interruption_after_training_says_where_the_files_are(capsys, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_command, "collect_metrics", interrupt)
    code, message = fails(capsys, *BRIEF, "--out", tmp_path / "run")
    (partial,) = tmp_path.iterdir()
    assert code == 130
    assert message == f"pyro-vds: Interrupted. What was written until then is in {partial}.\n"


@pytest.mark.parametrize("words", [[], ["learn"]])
def test_a_missing_or_unknown_command_lists_the_commands(capsys, words):
    code, message = fails(capsys, *words)
    assert code == 2
    assert "fit,evaluate,prune,plot,report" in message


# evaluate


def test_evaluate_prints_the_numbers_of_the_metrics(capsys, finished):
    cli.main(["evaluate", str(finished[0])])
    text = capsys.readouterr().out
    assert "pruned to depth 1" in text
    assert table(text) == expected_table(read_json(finished[0] / "metrics.json"))
    assert table(text) == table(finished[1])


def test_evaluate_measures_the_depth_asked_for(capsys, finished, tmp_path):
    cli.main(["evaluate", str(finished[0]), "--depth", "0", "--out", str(tmp_path / "zero.json")])
    assert "pruned to depth 0" in capsys.readouterr().out
    found, old = read_json(tmp_path / "zero.json"), read_json(finished[0] / "metrics.json")
    assert found["depth"] == 0
    assert found["test"]["full"] == old["test"]["full"]
    run = load(finished[0])
    x, y = run.settings.load_data().test
    wrong = predict_proba(run.model, run.guide, x, 0).argmax(1) != y
    assert found["test"]["pruned"]["error"] == pytest.approx(float(wrong.double().mean()))
    assert found["parameters"]["pruned"] == sum(p.numel() for p in prune(run.model, run.guide, 0).parameters())


def test_evaluate_follows_another_rule(capsys, finished):
    cli.main(["evaluate", str(finished[0]), "--rule", "argmax"])
    argmax = read_json(finished[0] / "metrics.json")["posterior"]["chosen_depth"]["argmax"]
    assert argmax != 1
    assert f"pruned to depth {argmax}" in capsys.readouterr().out


def test_evaluate_does_not_replace_a_file_unasked(capsys, finished, tmp_path):
    (tmp_path / "old.json").write_text("old")
    code, message = fails(capsys, "evaluate", finished[0], "--out", tmp_path / "old.json")
    assert code == 1
    assert "Expected a new path" in message
    assert (tmp_path / "old.json").read_text() == "old"
    cli.main(["evaluate", "--overwrite", str(finished[0]), "--out", str(tmp_path / "old.json")])
    assert read_json(tmp_path / "old.json")["depth"] == 1


@pytest.mark.parametrize("command", ["evaluate", "prune"])
@pytest.mark.parametrize("depth", [3, -1])
def test_depth_out_of_range_is_reported(capsys, run, command, depth):
    code, message = fails(capsys, command, run, "--depth", depth)
    assert code == 1
    assert message == f"pyro-vds: Expected a depth in 0..2, got {depth}.\n"
    assert {path.name for path in run.iterdir()} == FILES


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_missing_run_folder_is_reported(capsys, tmp_path, command):
    code, message = fails(capsys, command, tmp_path / "none")
    assert code == 1
    assert f"Expected a run folder at {tmp_path / 'none'}, found none" in message


def reported(capsys, run: Path, command: str, name: str) -> str:
    """Return the one line that a command says of a damaged file."""
    code, message = fails(capsys, command, run)
    assert code == 1
    assert message.startswith(f"pyro-vds: Expected an intact run folder at {run}, but {name} is ")
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_damaged_weights_are_reported(capsys, run, command):
    (run / "weights.safetensors").write_bytes(b"junk")
    reported(capsys, run, command, "weights.safetensors")


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_metrics_without_an_entry_are_reported(capsys, run, command):
    (run / "metrics.json").write_text("{}")
    message = reported(capsys, run, command, "metrics.json")
    assert message.endswith(f"no entry 'parameters'. Train again: pyro-vds fit --config {run / 'config.yaml'}\n")


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"data: spirals\nmax_deepness: 3\n", "max_deepness"),
        (b"data: [spirals\n : :", "flow sequence"),
        (b"data: cifar\n", "cifar"),
        (b"prior:\n  class_path: Poisson\n  init_args: {rate: -1}\n", "Expected a positive, finite rate"),
        (b"weight_decay: -1\n", "Expected a finite weight_decay"),
        (b"- 3\n", "- 3"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_damaged_config_is_reported(capsys, run, command, content, cause):
    (run / "config.yaml").write_bytes(content)
    message = reported(capsys, run, command, "config.yaml")
    assert cause in message
    assert message.endswith("Correct it, or train again.\n")


def test_damaged_posterior_is_reported(capsys, run, tmp_path):
    path = run / "posterior.nc"
    path.write_bytes(path.read_bytes()[:2000])
    assert "posterior.nc is damaged" in reported(capsys, run, "plot", "posterior.nc")
    path.write_bytes(b"junk")
    assert "posterior.nc is damaged" in reported(capsys, run, "plot", "posterior.nc")
    xr.Dataset({"x": 1}).to_netcdf(path, engine="h5netcdf")
    assert "no entry" in reported(capsys, run, "plot", "posterior.nc")
    path.unlink()
    message = reported(capsys, run, "plot", "posterior.nc")
    assert "posterior.nc is missing" in message
    assert message.endswith(f"Train again: pyro-vds fit --config {run / 'config.yaml'}\n")


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (figures.DRAWN, "log_q is of [5] architectures, the network has [3]"),
        (figures.DRAWN[1:], "no entry 'Could not find node at log_q'"),
    ],
)
def test_posterior_of_another_network_is_reported(capsys, run, names, cause):
    exact = xr.Dataset({name: ("depth", np.zeros(5)) for name in names})
    xr.DataTree.from_dict({"depth_posterior": exact}).to_netcdf(run / "posterior.nc", engine="h5netcdf")
    assert cause in reported(capsys, run, "plot", "posterior.nc")


def test_incomplete_run_folder_is_reported(capsys, run):
    (run / "history.safetensors").unlink()
    code, message = fails(capsys, "evaluate", run)
    assert code == 1
    assert "but history.safetensors are missing" in message


# prune


def pruned_log_proba(folder: Path, depth: int, x: torch.Tensor) -> torch.Tensor:
    run = load(folder)
    return predict_proba(run.model, run.guide, x, depth).log()


@pytest.mark.parametrize(("words", "depth"), [([], 1), (["--depth", "0"], 0), (["--depth", "2"], 2)])
def test_pruned_export_has_the_numbers_of_the_pruned_prediction(capsys, run, words, depth):
    cli.main(["prune", str(run), *words])
    assert f"depth {depth}, " in capsys.readouterr().out
    x = torch.randn(7, 2)
    network = torch.export.load(run / "pruned.pt2").module()
    torch.testing.assert_close(network(x), pruned_log_proba(run, depth, x), atol=1e-6, rtol=1e-5)


def test_pruned_onnx_has_the_numbers_of_the_pruned_prediction(finished, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "deep" / "pruned.onnx"
    cli.main(["prune", str(finished[0]), "--out", str(out)])
    assert [path.name for path in out.parent.iterdir()] == ["pruned.onnx"]
    session = runtime.InferenceSession(out)
    x = torch.randn(7, 2)
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    torch.testing.assert_close(found, pruned_log_proba(finished[0], 1, x), atol=1e-5, rtol=1e-4)


def test_prune_refuses_an_unknown_kind_of_file(capsys, finished, tmp_path):
    code, message = fails(capsys, "prune", finished[0], "--out", tmp_path / "pruned.pth")
    assert code == 1
    assert "Expected a file that ends in .pt2 or .onnx" in message
    assert list(tmp_path.iterdir()) == []


def test_prune_does_not_replace_a_file_unasked(capsys, run):
    (run / "pruned.pt2").write_text("old")
    code, message = fails(capsys, "prune", run)
    assert code == 1
    assert "Expected a new path" in message
    assert (run / "pruned.pt2").read_text() == "old"


# plot


def test_plot_draws_all_figures_again(capsys, run):
    shutil.rmtree(run / "figures")
    cli.main(["plot", str(run)])
    assert {path.name for path in (run / "figures").iterdir()} == FIGURES
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (run / "figures").iterdir())
    assert f"figures: {run / 'figures'}" in capsys.readouterr().out


# Other data and networks


def test_plain_network_is_fitted_evaluated_and_plotted_but_not_pruned(capsys, tmp_path):
    out = tmp_path / "run"
    cli.main([*BRIEF, "--readout", "last", "--out", str(out)])
    metrics = read_json(out / "metrics.json")
    assert "posterior" not in metrics
    assert list(metrics["test"]) == list(metrics["parameters"]) == ["full"]
    assert {path.name for path in out.iterdir()} == FILES - {"posterior.nc"}
    capsys.readouterr()
    cli.main(["evaluate", str(out)])
    assert table(capsys.readouterr().out) == expected_table(metrics)
    shutil.rmtree(out / "figures")
    cli.main(["plot", str(out)])
    assert {path.name for path in (out / "figures").iterdir()} == {"history.png", "reliability.png"}
    code, message = fails(capsys, "prune", out)
    assert code == 1
    assert "Expected a run with a depth posterior" in message


def test_digits_run_through_the_convolutional_network(capsys, tmp_path):
    out = tmp_path / "run"
    words = "--max-epochs 1 --max-depth 1 --channels 4 --bottleneck 2 --train-size 100 --progress false --out"
    cli.main(["fit", "digits", *words.split(), str(out)])
    text = capsys.readouterr().out
    metrics = read_json(out / "metrics.json")
    assert (metrics["train_size"], metrics["test_size"]) == (90, 449)
    assert table(text) == expected_table(metrics)
    assert read_json(out / "data.json")["input_shape"] == [1, 8, 8]
    cli.main(["prune", str(out), "--depth", "0"])
    network = torch.export.load(out / "pruned.pt2").module()
    torch.testing.assert_close(network(torch.randn(5, 1, 8, 8)).exp().sum(1), torch.ones(5))


def write_npz(folder: Path, *, classes: bool) -> Path:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = x.sum(1)
    np.savez(folder / "data.npz", x=x, y=(y > 0).astype(int) if classes else y)
    return folder / "data.npz"


@pytest.mark.parametrize("classes", [True, False])
def test_npz_is_fitted_evaluated_pruned_and_plotted(capsys, tmp_path, classes):
    out, data = tmp_path / "run", write_npz(tmp_path, classes=classes)
    words = "--max-epochs 3 --max-depth 1 --width 4 --validation-fraction 0.2 --lr 0.01 --progress false --out"
    cli.main(["fit", "npz", "--data-path", str(data), *words.split(), str(out)])
    metrics = read_json(out / "metrics.json")
    names = ["log_likelihood", "error", "ece", "brier"] if classes else ["log_likelihood", "rmse", "interval_error"]
    assert list(metrics["test"]["full"]) == list(metrics["test"]["pruned"]) == names
    assert metrics["train_size"] == 38
    cli.main(["evaluate", str(out), "--out", str(tmp_path / "again.json")])
    found = read_json(tmp_path / "again.json")["test"]
    assert {case: pytest.approx(values) for case, values in found.items()} == metrics["test"]
    cli.main(["plot", str(out)])
    assert {p.name for p in (out / "figures").iterdir()} == {"history.png", "posterior.png"} | (
        {"reliability.png"} if classes else {"intervals.png"}
    )
    cli.main(["prune", str(out)])
    network = torch.export.load(out / "pruned.pt2").module()
    found = network(torch.randn(4, 3))
    assert found.shape == (4, 2) if classes else [part.shape for part in found] == [(4, 1), (4, 1)]
    assert f"figures: {out / 'figures'}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["diabetes", "gap_1d"])
def test_embedded_regression_is_fitted_and_drawn(capsys, tmp_path, name):
    words = "--max-epochs 3 --max-depth 1 --width 4 --progress false --out"
    cli.main(["fit", name, *words.split(), str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert all(measure in printed for measure in ("log-likelihood", "rmse", "interval-error"))
    figures = {p.name for p in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"history.png", "posterior.png", "intervals.png"} | ({"band.png"} if name == "gap_1d" else set())


def test_uci_is_fitted_in_a_standard_split(tmp_path, shared_data):
    words = "--max-epochs 3 --max-depth 1 --width 4 --progress false --uci-name yacht --split 7 --data-root"
    cli.main(["fit", "uci", *words.split(), str(shared_data), "--out", str(tmp_path / "run")])
    metrics = read_json(tmp_path / "run" / "metrics.json")
    assert (metrics["train_size"], metrics["test_size"]) == (249, 31)
    assert read_config(tmp_path / "run")["split"] == 7


def test_regression_is_reported_in_the_units_of_the_data(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = []
    for scale in (1, 10):
        np.savez(tmp_path / f"{scale}.npz", x=x, y=scale * (7 + 3 * x.sum(1)))
        out = tmp_path / f"run-{scale}"
        words = "--max-epochs 3 --max-depth 1 --width 4 --lr 0.01 --progress false --data-path"
        cli.main(["fit", "npz", *words.split(), str(tmp_path / f"{scale}.npz"), "--out", str(out)])
        cli.main(["evaluate", str(out), "--out", str(out / "again.json")])
        assert read_json(out / "again.json")["test"] == read_json(out / "metrics.json")["test"]
        found.append(read_json(out / "metrics.json"))
    one, ten = (metrics["test"]["full"] for metrics in found)
    assert ten["rmse"] == pytest.approx(10 * one["rmse"], rel=1e-4)
    assert ten["log_likelihood"] == pytest.approx(one["log_likelihood"] - math.log(10), abs=1e-4)
    summary = read_json(out / "data.json")
    attributes = load_datatree(out / "posterior.nc").attrs
    assert (attributes["target_mean"], attributes["target_std"]) == (
        summary["target_mean"][0],
        summary["target_std"][0],
    )


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (np.where(np.arange(20) == 3, -1, 1), "Expected labels in 0..2, as 3 different integers"),
        (np.where(np.arange(20) == 3, np.nan, 1.0), "Expected finite targets, got NaN"),
    ],
)
def test_test_data_are_checked_before_training(capsys, tmp_path, targets, expected):
    x = np.random.default_rng(0).normal(size=(20, 3))
    y = np.ones_like(targets) * (np.arange(20) % 2)
    np.savez(tmp_path / "data.npz", x=x, y=y, x_test=x, y_test=targets)
    code, message = fails(capsys, "fit", "npz", "--data-path", tmp_path / "data.npz", "--out", tmp_path / "run")
    assert code == 1
    assert message.startswith(f"pyro-vds: {expected}")
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--lr", "-1"], "Expected a positive, finite lr, got -1.0"),
        (["--seed", "99999999999999999999"], "Expected a seed in 0..2**63 - 1, got 99999999999999999999"),
        (["--width", "3000000"], "Expected the network to fit the memory. Reduce the width"),
    ],
)
def test_bad_settings_are_reported_before_anything_is_written(capsys, tmp_path, options, expected):
    code, message = fails(capsys, *BRIEF, *options, "--out", tmp_path / "run")
    assert code == 1
    assert expected in message
    assert list(tmp_path.iterdir()) == []


def test_other_data_than_those_of_the_run_are_refused(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.arange(40) % 2
    np.savez(tmp_path / "data.npz", x=x, y=y)
    cli.main([*map(str, ["fit", "npz", "--data-path", tmp_path / "data.npz", "--max-epochs", 2, "--max-depth", 1]),
          "--progress=false", "--out", str(tmp_path / "run")])  # fmt: skip
    np.savez(tmp_path / "data.npz", x=100 * x, y=y)
    for command in ("evaluate", "plot"):
        code, message = fails(capsys, command, tmp_path / "run")
        assert code == 1
        assert "Expected the data that the run in" in message


def test_overwrite_replaces_the_usual_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--overwrite"]):
        cli.main([*map(str, BRIEF), *options])
    assert [path.name for path in Path("runs").iterdir()] == ["spirals"]


def test_npz_that_is_not_there_is_reported(capsys, tmp_path):
    code, message = fails(capsys, "fit", "npz", "--data-path", tmp_path / "none.npz", "--out", tmp_path / "run")
    assert code == 1
    assert f"Expected an npz file with arrays x and y at {tmp_path / 'none.npz'}, found none" in message
    assert not (tmp_path / "run").exists()


def test_data_that_moved_are_found_by_data_root(capsys, run, tmp_path):
    config = read_config(run) | {"data": "mnist", "data_root": str(tmp_path / "old")}
    (run / files.CONFIG).write_text(yaml.safe_dump(config))
    (tmp_path / "new").write_text("a file, so that nothing can be downloaded to it")
    code, message = fails(capsys, "evaluate", run, "--data-root", tmp_path / "new")
    assert code == 1
    assert f"Expected the files {tmp_path / 'new'}/MNIST/raw" in message


def test_width_is_learnt_with_the_depth(capsys, tmp_path):
    """One run with every step after it, on two axes."""
    run = tmp_path / "run"
    cli.main([*BRIEF, "--widths", "[2, 4]", "--guide", "joint", "--width-prior", "Geometric", "--out", str(run)])
    text = capsys.readouterr().out
    posterior = read_json(run / "metrics.json")["posterior"]
    assert set(posterior["chosen"]) == {"depth", "width"}
    assert f"width: {posterior['chosen']['width']} of 2, 4 (rule 95; " in text
    assert "q(width)" in text
    assert np.sum(posterior["q_joint"]) == pytest.approx(1)
    assert read_config(run)["widths"] == [2, 4]
    assert load_datatree(run / "posterior.nc")["depth_posterior"]["width"].values.tolist() == [2, 4]
    cli.main(["evaluate", str(run), "--depth", "1", "--width", "2"])
    assert "pruned to depth 1, width 2" in capsys.readouterr().out
    cli.main(["prune", str(run), "--rule", "argmax"])
    assert (run / "pruned.pt2").exists()
    cli.main(["plot", str(run)])
    code, message = fails(capsys, "evaluate", run, "--width", "3")
    assert (code, "Expected a width in [2, 4], got 3" in message) == (1, True)
    for options, expected in (
        (["--rule", "expected"], "Expected the rule '95' or 'argmax' with widths"),
        (["--readout", "last"], "Expected readout 'all' to learn the width"),
        (["--widths", "[4, 2]"], "Expected increasing widths"),
    ):
        code, message = fails(capsys, *BRIEF, "--widths", "[2, 4]", *options, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)


def test_depth_for_each_input_is_learnt_evaluated_and_reported(capsys, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again.json"
    cli.main([*SPIRALS, "--max-epochs", "200", "--guide", "per_input", "--threshold", "0.35", "--out", str(run)])
    text, metrics = capsys.readouterr().out, read_json(run / "metrics.json")
    assert "a depth for each input: " in text
    assert "(threshold 0.35)" in text
    assert metrics.keys() >= {"per_input", "test"}
    assert "posterior" not in metrics
    saving = metrics["per_input"]
    assert sum(saving["stops"]) == metrics["test_size"]
    assert saving["mean_depth"] == pytest.approx(np.dot(saving["stops"], range(3)) / metrics["test_size"])
    assert sum(saving["q"]) == pytest.approx(1)
    cli.main(["evaluate", str(run), "--out", str(again)])
    cli.main(["fit", "--config", str(run / "config.yaml"), "--progress", "false", "--out", str(tmp_path / "twin")])
    for case in ("full", "adaptive"):
        assert read_json(tmp_path / "twin" / "metrics.json")["test"][case] == metrics["test"][case]
        assert read_json(again)["test"][case] == pytest.approx(metrics["test"][case])
    assert read_json(again)["parameters"] == metrics["parameters"]
    # The adaptive measures are those of the adaptive network.
    loaded = load_run(run, Settings(num_points=200, max_depth=2, guide="per_input", threshold=0.35))
    x, y = loaded.load_data().test
    assert isinstance(loaded.guide, vds.AutoPerInput)
    log_probs, stops = vds.AdaptiveNetwork(loaded.model, loaded.guide, 0.35)(x)
    assert torch.bincount(stops, minlength=3).tolist() == saving["stops"]
    assert len(stops.unique()) > 1
    log_density = log_probs[torch.arange(len(y)), y].mean()
    assert float(log_density) == pytest.approx(metrics["test"]["adaptive"]["log_likelihood"], abs=1e-5)
    assert metrics["test"]["adaptive"] != metrics["test"]["full"]
    own = 2 * 32 + 32 * 3
    costs = vds.multiply_adds(loaded.model.backbone, x).double()
    assert saving["multiply_adds"] == pytest.approx(float((costs[stops].mean() + own) / costs[-1]))
    cli.main(["report", str(run)])
    assert "spirals: a depth for each input" in (run / "report.html").read_text()
    capsys.readouterr()
    for words in (["prune", run], ["evaluate", run, "--depth", "1"], ["reweight", run, "--prior", "Uniform"]):
        code, message = fails(capsys, *words)
        assert (code, f"{run} holds a depth for each input" in message) == (1, True)
    for words, expected in (
        (["--guide", "per_input", "--widths", "[2, 4]"], "no widths for a depth for each input"),
        (["--threshold", "1"], "Expected a threshold in [0, 1), got 1.0"),
    ):
        code, message = fails(capsys, *BRIEF, *words, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)


def test_depth_for_each_input_of_a_regression(tmp_path):
    words = ["fit", "diabetes", "--max-depth", "2", "--max-epochs", "2", "--progress", "false", "--guide", "per_input"]
    cli.main([*words, "--out", str(tmp_path / "run")])
    metrics = read_json(tmp_path / "run" / "metrics.json")["test"]
    assert metrics["adaptive"].keys() == metrics["full"].keys() == {"log_likelihood", "rmse", "interval_error"}


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_network_of_torchvision_is_fitted_and_pruned(capsys, tmp_path, name):
    small = ["--max-depth", "2", "--channels", "16"] if name == "vit" else []
    words = [
        "fit",
        "digits",
        "--network",
        name,
        *small,
        "--train-size",
        "40",
        "--max-epochs",
        "1",
        "--progress",
        "false",
    ]
    run = tmp_path / "run"
    cli.main([*words, "--frozen", "--progress", "false", "--out", str(run)])
    depths = 3 if name == "vit" else 9
    assert len(read_json(run / "metrics.json")["posterior"]["q"]) == depths
    assert read_config(run)["network"] == name
    cli.main(["prune", str(run), "--depth", "1"])
    exported = torch.export.load(run / "pruned.pt2").module()
    assert exported(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    for options, expected in (
        (["--widths", "[8, 16]"], f"Expected the network residual for widths or shared head statistics, got {name}"),
        (["--network", "residual"], "Expected a network of torchvision, such as resnet18, for pretrained, frozen"),
    ):
        code, message = fails(capsys, *words, "--frozen", *options, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)


def test_another_prior_is_compared_without_training(capsys, finished, tmp_path):
    folder, out = finished[0], tmp_path / "comparison.json"
    cli.main(["reweight", str(folder), "--prior", "Weights", "--prior.probs", "[0.7, 0.2, 0.1]", "--out", str(out)])
    text, found = capsys.readouterr().out, read_json(out)
    metrics = read_json(folder / "metrics.json")["posterior"]
    assert found["model"]["posterior"] == pytest.approx(metrics["exact_posterior"])
    assert found["model"]["log_evidence"] == pytest.approx(metrics["log_evidence"])
    likelihood = torch.tensor(metrics["train_log_likelihood_by_depth"]).double() * 20
    log_joint = torch.tensor([0.7, 0.2, 0.1]).double().log() + likelihood
    assert found["other"]["posterior"] == pytest.approx(log_joint.softmax(0).tolist(), abs=1e-6)
    assert found["other"]["log_evidence"] == pytest.approx(float(log_joint.logsumexp(0)), abs=1e-4)
    # The measures are those of the mixture weighted by that posterior.
    loaded = load(folder)
    guide = vds.AutoCategorical(loaded.model)
    guide.set_probs({"depth": log_joint.softmax(0)})
    x, y = loaded.load_data().test
    expected = float(vds.log_predictive(loaded.model, guide, x, y).mean())
    assert found["other"]["test"]["full"]["log_likelihood"] == pytest.approx(expected, abs=1e-5)
    prior = Geometric(0.85)(3).logits
    for part, scaled in (
        ("prior", [a * prior + likelihood for a in POWERS]),
        ("likelihood", [prior + a * likelihood for a in POWERS]),
    ):
        assert found["power"][part] == [vds.choose_depth(s.double().softmax(0), "expected") for s in scaled]
    assert "other prior: depth Weights(probs=(0.7, 0.2, 0.1)); chosen depth " in text
    code, message = fails(capsys, "reweight", folder, "--prior", "Weights", "--prior.probs", "[0.5, 0.5]")
    assert (code, "Expected" in message) == (1, True)
    code, message = fails(capsys, "reweight", folder)
    assert (code, "prior" in message) == (2, True)


def test_comparison_is_in_the_units_of_the_data_and_of_the_learnt_prior(capsys, tmp_path):
    run, out = tmp_path / "run", tmp_path / "other.json"
    words = ["fit", "diabetes", "--max-depth", "2", "--max-epochs", "2", "--progress", "false", "--learn-prior"]
    cli.main([*words, "--out", str(run)])
    cli.main(["reweight", str(run), "--prior", "Uniform", "--out", str(out)])
    metrics, found = read_json(run / "metrics.json"), read_json(out)["model"]
    assert found["log_evidence"] == pytest.approx(metrics["posterior"]["log_evidence"])
    assert found["posterior"] == pytest.approx(metrics["posterior"]["exact_posterior"])
    assert found["priors"]["depth"] != "Geometric(decay=0.85)"


def test_priors_of_depth_and_width_are_compared(capsys, tmp_path):
    run = tmp_path / "run"
    cli.main([*BRIEF, "--widths", "[2, 4]", "--out", str(run)])
    cli.main(["reweight", str(run), "--prior", "Uniform", "--width-prior", "Geometric"])
    assert "width Geometric(decay=0.85); chosen depth" in capsys.readouterr().out

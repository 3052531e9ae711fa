"""Graphs on the command line: every command on a run, and one line for what cannot work."""

import json

import numpy as np
import pytest
import torch

from pyro_vds import load_run
from pyro_vds.cli import main as cli
from tests.commands import fails, read_config, read_json

pytestmark = pytest.mark.usefixtures("float32")

DENSE = ["fit", "spirals", "--num-points", "60", "--width", "4", "--max-epochs", "2", "--progress", "false",
         "--network", "connectivity"]  # fmt: skip
CELL = ["fit", "digits", "--network", "cell", "--channels", "2", "--train-size", "40", "--max-epochs", "2",
        "--progress", "false", "--operations", json.dumps(["none", "skip_connect"])]  # fmt: skip


def test_every_command_on_a_graph(capsys, tmp_path):
    run = tmp_path / "run"
    cli.main([*DENSE, "--layers", "2", "--prior", "Price", "--prior.nats", "-1", "--out", str(run)])
    text = capsys.readouterr().out
    posterior = read_json(run / "metrics.json")["posterior"]
    chosen = "".join("01"[is_open] for is_open in posterior["chosen"]["gate"])
    assert f"chosen gate {chosen}, {chosen.count('1')} of 6 open (guide, rule argmax)" in text
    assert "guide in closed form" in text
    cli.main(["evaluate", str(run)])
    assert f"pruned to gate {chosen}" in capsys.readouterr().out
    cli.main(["evaluate", str(run), "--cut", "gate=111111", "--out", str(tmp_path / "all.json")])
    assert read_json(tmp_path / "all.json")["gate"] == [True] * 6
    cli.main(["prune", str(run), "--cut", "gate=000100"])
    assert "gate 000100, " in capsys.readouterr().out
    x, opened = torch.randn(5, 2), torch.tensor([[0, 0, 0, 1, 0, 0]])
    network = torch.export.load(run / "pruned.pt2").module()
    expected = load_run(run).model.backbone.at(x, {"gate": opened})[0].log_softmax(-1)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=1e-5)
    cli.main(["reweight", str(run), "--prior", "Price", "--prior.nats", "5"])
    text = capsys.readouterr().out
    assert "prior of the run: gate Price(nats=-1.0, costs=())" in text
    assert "other prior: gate Price(nats=5.0, costs=())" in text
    cli.main(["plot", str(run)])
    cli.main(["report", str(run)])
    page, q = (run / "report.html").read_text(), np.array(posterior["axes"]["gate"]["q"])[:, 1]
    assert "learnt gate" in page
    assert page.count(f'alt="{(q > 0.5).sum()} of 6 sites of gate are open with a probability above 0.5: ') == 2
    capsys.readouterr()
    for words, said in (
        (["evaluate", run, "--rule", "95"], "Expected the rule 'argmax' for gate, got '95'."),
        (["evaluate", run, "--depth", "1"], "Expected a model with an axis 'depth' to cut, got axes ['gate']."),
        (["prune", run, "--cut", "gate=11"], "Expected a gate for each of 6 sites, such as 111111, got 11."),
        (["lesion", run], "Expected a PerDepth network, whose blocks can be deleted one by one, got SearchGraph."),
        (["reweight", run, "--prior", "Geometric"], "Expected a prior over choices without an order and without"),
        (["reweight", run, "--prior", "Weights", "--prior.probs", "[0.5, 0.25, 0.25]"], "Expected 2 probs, one for"),
    ):
        code, message = fails(capsys, *words)
        assert (code, message.count("\n")) == (1, 1)
        assert message.startswith(f"pyro-vds: {said}")


def test_a_graph_is_repeated_from_its_config(tmp_path):
    cli.main([*DENSE, "--layers", "1", "--samples", "2", "--guide-from", "1", "--out", str(tmp_path / "run")])
    config = read_config(tmp_path / "run")
    assert config.items() >= {"samples": 2, "guide_from": 1, "guide_update": "gradient", "layers": 1}.items()
    cli.main(["fit", "--config", str(tmp_path / "run" / "config.yaml"), "--progress", "false", "--out",
              str(tmp_path / "again")])  # fmt: skip
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]


def test_a_cell_is_fitted_pruned_and_exported(capsys, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    run, out = tmp_path / "run", tmp_path / "cell.onnx"
    cli.main([*CELL, "--out", str(run)])
    assert "4 architectures drawn in each step" in capsys.readouterr().out
    cli.main(["prune", str(run), "--cut", "op=skip_connect/none/none/none/skip_connect/none", "--out", str(out)])
    assert "op skip_connect/none/none/none/skip_connect/none, " in capsys.readouterr().out
    session, x = runtime.InferenceSession(out), torch.randn(3, 1, 8, 8)
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    entries = torch.tensor([[1, 0, 0, 0, 1, 0]])
    expected = load_run(run).model.backbone.at(x, {"op": entries})[0].log_softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_many_architectures_are_drawn(capsys, tmp_path):
    code, message = fails(capsys, *DENSE, "--layers", "8", "--out", tmp_path / "run")
    assert code == 1
    assert message == (
        "pyro-vds: Expected at most 65,536 architectures to sum over in each step, got 3.5e13. Draw some of them: "
        "--samples 4.\n"
    )
    assert list(tmp_path.iterdir()) == []
    cli.main([*DENSE, "--layers", "8", "--samples", "4", "--out", str(tmp_path / "run")])
    assert "(estimate: 40 of 3.5e13 architectures)" in capsys.readouterr().out
    for words, said in (
        (["reweight", tmp_path / "run", "--prior", "Price", "--prior.nats", "5"], "to weigh again, got 3.5e13. Train"),
        (["evaluate", tmp_path / "run", "--weights", "exact"], "for exact weights, got 3.5e13. Leave --weights out"),
    ):
        code, message = fails(capsys, *words)
        assert (code, message.count("\n"), said in message) == (1, 1, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max-depth", "3"], "Expected --max-depth None for the graph connectivity, got 3."),
        (["--widths", "[2, 4]"], "Expected widths None for the graph connectivity, got (2, 4)."),
        (["--guide", "per_input"], "Expected a guide of independent, mixture, generator for the graph connectivity"),
        (
            ["--network", "residual", "--prior", "Price", "--prior.nats", "2"],
            "Expected the network connectivity for the",
        ),
        (["--network", "residual", "--samples", "4"], "Expected the network connectivity or cell for samples, got res"),
        (["--network", "cell"], "Expected images for the graph cell, got inputs of shape (2,). Use connectivity."),
    ],
)
def test_what_cannot_work_is_said_in_one_line(capsys, tmp_path, words, expected):
    code, message = fails(capsys, *DENSE, *words, "--out", tmp_path / "run")
    assert (code, message.count("\n")) == (1, 1)
    assert message.startswith(f"pyro-vds: {expected}")
    assert list(tmp_path.iterdir()) == []

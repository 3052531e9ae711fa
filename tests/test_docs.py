"""The snippets of the documentation run."""

import re
import shlex
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from pyro_vds.cli import main as cli

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.filterwarnings("ignore:.*Setting shape on a NumPy array")
def test_snippets_on_extending_run_in_order(capsys, finished, tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished[0], tmp_path / "runs" / "spirals")
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), flags=re.DOTALL):
        assert len(block.splitlines()) <= 12
        exec(block, namespace)
    torch.set_default_dtype(torch.float64)
    assert namespace["stops"].shape == (len(namespace["data"].test[0]),)
    assert 0 <= namespace["saving"] < 1
    assert namespace["decay"].shape == (1, 100)
    assert "Poisson(rate=" in capsys.readouterr().out
    assert namespace["probs"].shape == (180, 2)
    assert namespace["measures"]["error"] < 1
    assert len(namespace["errors"]) == 4


def test_snippets_on_arviz_run():
    torch.set_default_dtype(torch.float32)
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "arviz.md").read_text(), flags=re.DOTALL):
        exec(block, namespace)
    torch.set_default_dtype(torch.float64)
    assert set(namespace["names"].values) == {"left", "right"}
    assert list(namespace["table"].index) == ["depth"]
    plt.close("all")


def test_snippets_on_architectures_run_and_train():
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "architectures.md").read_text(), flags=re.DOTALL):
        assert len(block.splitlines()) <= 22
        exec(block, namespace)
    torch.set_default_dtype(torch.float64)
    assert namespace["rhat"].shape == (6,)
    assert namespace["small"](namespace["x"]).shape == (300, 10)
    assert namespace["gap"] > 0
    assert namespace["between"].shape == (6, 6)
    assert set(namespace["chosen"]) <= {"none", "same", "linear"}
    assert namespace["q_depth"].shape == (4,)
    assert namespace["q_gate"].shape == (3,)
    elbo = namespace["history"].elbo
    assert elbo[-1] > elbo[0]
    assert "(estimate: 100 of 32 architectures)" in str(namespace["evidence"])


def run_snippets(page):
    """Run the snippets of a page in order, and return what they define."""
    torch.set_default_dtype(torch.float32)
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL):
        assert len(block.splitlines()) <= 14
        exec(block, namespace)
    torch.set_default_dtype(torch.float64)
    return namespace


def test_snippets_on_the_package_run():
    assert run_snippets("architecture.md")["space"].count == 6


def test_snippets_on_scikit_learn_run():
    found = run_snippets("scikit-learn.md")
    assert found["classifier"].score(found["X_test"], found["y_test"]) > 0.9
    assert found["std"].shape == found["mean"].shape == (442,)
    assert found["search"].best_params_["vdsclassifier__prior"] in found["priors"]
    assert 0 <= found["error"] < 0.5
    assert found["log_probs"].shape == (143, 2)


def test_snippets_on_random_weights_run():
    found = run_snippets("bayesian-weights.md")
    assert found["posteriors"].shape == (30, 3)
    assert found["depth_probs"][0] < 0.1  # a line does not fit a sine
    assert sum(found["losses"][-5:]) < sum(found["losses"][:5])
    assert {name.partition("_")[0] for name in found["names"]} == {"AutoCategorical", "VDSModel"}


def test_snippets_on_pretrained_networks_run():
    found = run_snippets("pretrained.md")
    assert found["outputs"].shape == (5, 64, 2)
    assert found["features"].shape == (64, 5 * 32)
    assert found["small"].backbone.max_depth == found["chosen"]


def test_commands_are_ones_that_the_command_line_takes():
    texts = [path.read_text() for path in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))]
    found = [
        match.replace("\\\n", " ")
        for text in texts
        for match in re.findall(r"^(?:\S*/)?pyro-vds ((?:.*\\\n)*.*)", text, flags=re.M)
        + re.findall(r"`pyro-vds ([^`]+)`", text)
    ]
    commands = [shlex.split(line, comments=True) for line in found]
    commands = [words for words in commands if "--config" not in words and "--help" not in words]
    commands = [words for words in commands if words[0] != "completion"]
    assert len(commands) >= 15
    for words in commands:
        assert vars(cli.parse(words[0], words[1:]))

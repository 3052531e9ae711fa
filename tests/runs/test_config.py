"""Settings come back from the YAML file that they are written to."""

import pytest
import yaml
from jsonargparse import ArgumentError

from pyro_vds import priors
from pyro_vds.runs.config import read_config, write_config
from pyro_vds.runs.settings import Settings

CHANGES = {
    "defaults": {},
    "numbers": {"data": "digits", "max_depth": 3, "lr": 1e-5, "seed": 2**63 - 1, "weight_decay": 1e-300},
    "lists": {"widths": (2, 4), "milestones": (1, 5), "guide": "joint"},
    "empty list": {"milestones": ()},
    "words": {"data": "npz", "data_path": "a folder/x: y.npz", "rule": "argmax", "compile": True},
    "uniform": {"prior": priors.Uniform(), "width_prior": priors.Poisson(3.0)},
    "negative binomial": {"prior": priors.NegativeBinomial(3.0, 0.25)},
    "weights": {"prior": priors.Weights((0.5, 0.25, 0.25))},
    "cost": {"prior": priors.Cost((1.0, 2.0), 0.5)},
    "dirichlet": {"prior": priors.Dirichlet((1.0, 2.0, 3.0))},
    "hierarchical": {"prior": priors.Hierarchical(priors.Geometric(), "decay", priors.Beta(2.0, 3.0))},
}


@pytest.mark.parametrize("name", CHANGES)
def test_settings_come_back(tmp_path, name):
    settings = Settings(**CHANGES[name])
    write_config(tmp_path / "config.yaml", settings)
    assert read_config(tmp_path / "config.yaml") == settings


def test_what_is_not_written_has_its_default(tmp_path):
    (tmp_path / "config.yaml").write_text("width: 7\n")
    assert read_config(tmp_path / "config.yaml") == Settings(width=7)


def test_numbers_that_yaml_takes_for_texts_are_numbers(tmp_path):
    (tmp_path / "config.yaml").write_text("lr: 1.5e-3\nnoise: 1e-3\nrotation: 1.5e2\n")
    assert read_config(tmp_path / "config.yaml") == Settings(lr=0.0015, noise=0.001, rotation=150.0)


def test_the_file_is_plain_yaml(tmp_path):
    write_config(tmp_path / "config.yaml", Settings(prior=priors.Geometric(0.5), milestones=(3,)))
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert content["prior"] == {"class_path": "Geometric", "init_args": {"decay": 0.5}}
    assert content["milestones"] == [3]
    assert "max_depth" not in content


@pytest.mark.parametrize("content", ["max_deepness: 3\n", "- 3\n", "data: cifar\n", "prior: {class_path: Nope}\n"])
def test_words_that_are_no_settings_are_refused(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ArgumentError):
        read_config(tmp_path / "config.yaml")


def test_settings_out_of_range_are_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("lr: -1.0\n")
    with pytest.raises(ValueError, match="Expected a positive, finite lr"):
        read_config(tmp_path / "config.yaml")

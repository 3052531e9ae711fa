"""The networks that learnt depth is compared with, and the images that they have not seen."""

import pytest
import torch

import pyro_vds as vds
from experiments import shift
from experiments.engine.outside import EMNIST_LETTERS, SVHN_DIGITS, outside_images
from experiments.engine.rivals import PASSES, ensemble, train_rivals
from pyro_vds import predict_entropy, split_entropy
from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.settings import Settings


def mixed(mixture, x):
    log_probs, log_weights = mixture(x)
    return (log_probs + log_weights[:, None, None]).logsumexp(0).exp()


def test_mixtures_are_the_library_s_predictions():
    torch.set_default_dtype(torch.float32)
    small = {"data": "digits", "max_depth": 3, "channels": 4, "bottleneck": 2, "max_epochs": 2, "train_size": 200}
    settings = Settings(**small).resolved()
    data = load_data(settings)
    x = data.test[0]
    rivals = train_rivals(settings, data)
    model, guide = build(settings, DataSummary.of(data))
    train(settings, model, guide, data, progress=False)
    depth = vds.choose_depth(guide.probs()["depth"])
    torch.testing.assert_close(mixed(rivals["ldn"], x), vds.predict_proba(model, guide, x))
    torch.testing.assert_close(mixed(rivals["ldn_pruned"], x), vds.predict_proba(model, guide, x, depth=depth))
    found = split_entropy(*rivals["ldn"](x)).mutual_information
    torch.testing.assert_close(found, predict_entropy(model, guide, x).mutual_information, atol=1e-5, rtol=0)
    members = [rivals["ddn"], rivals["dropout"]]
    mean = (mixed(members[0], x) + mixed(members[1], x)) / 2
    torch.testing.assert_close(mixed(ensemble(members), x), mean)
    log_probs, log_weights = rivals["dropout"](x)
    assert len(log_probs) == PASSES
    assert float(log_weights.exp().sum()) == pytest.approx(1)
    assert not torch.equal(log_probs[0], log_probs[1])
    assert torch.equal(rivals["dropout"](x)[0], log_probs)
    torch.set_default_dtype(torch.float64)


def test_result_is_tabled():
    row = {"auroc": {"mean": 0.91, "std": 0.012}, "aupr": {"mean": 0.5, "std": 0.0}}
    content = {"outside": {"mnist": {"svhn_digits": {"entropy": {"ldn": row, "ensemble": row}}}}}
    *_, line = shift.table(content).splitlines()
    assert line == "| mnist | svhn digits | entropy | 91.0 ± 1.2 |  |  | 91.0 ± 1.2 |  |"
    assert "| 50.0 |" in shift.table(content, "aupr")


def test_corruptions_are_tabled_at_some_levels():
    values = {
        "error": {"mean": 0.1, "std": 0.01},
        "log_likelihood": {"mean": -0.5, "std": 0.0},
        "ece": {"mean": 0.2, "std": 0},
    }
    found = [{"kind": "rotation", "level": level} | dict.fromkeys(shift.NAMES, values) for level in (0, 15, 30)]
    lines = shift.corruptions_table({"corruptions": found}).splitlines()
    assert len(lines) == 2 + 2 * 3
    assert lines[2].startswith("| rotation 0 | error | 10.0 ± 1.0 |")
    assert lines[6].startswith("| rotation 30 | log-likelihood | -0.50 |")


def test_outside_images_are_in_the_units_of_training(shared_data):
    settings = Settings(data="mnist", data_root=str(shared_data), train_size=500)
    data = load_data(settings)
    for name, mean in (("fashion_mnist", 0.286849), (SVHN_DIGITS, 0.459), (EMNIST_LETTERS, 0.172)):
        images = outside_images(name, data, str(shared_data))
        assert images.shape[1:] == data.test[0].shape[1:]
        pixels = images * data.std[:, None, None] + data.mean[:, None, None]
        assert float(pixels.mean()) == pytest.approx(mean, abs=5e-3)
        assert -1e-3 <= float(pixels.min()) < float(pixels.max()) <= 1 + 1e-3
    with pytest.raises(FileNotFoundError, match="Expected the EMNIST letters at"):
        outside_images(EMNIST_LETTERS, data, "nowhere")

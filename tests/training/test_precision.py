"""Other precisions and layouts change the speed, and the numbers only as far as they must."""

import warnings

import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.training.precision import computing_in

QUIET = {"progress": False}


@pytest.fixture(autouse=True)
def float32(nothing_global_changes):
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(torch.float64)


def problem(statistics="per_depth"):
    torch.manual_seed(0)
    net = vds.ResidualConvNet(1, 3, max_depth=2, channels=4, bottleneck=2, head_statistics=statistics)
    model = vds.VDSModel(net, num_data=12)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return model, vds.AutoCategorical(model), pixels, torch.randint(0, 3, (12,), generator=generator)


def scaled(pixels):
    return (pixels.float() - 100) / 60


def state(model, guide):
    return {**model.state_dict(), **guide.state_dict()}


@pytest.mark.parametrize("compile", [False, True])
def test_bytes_normalised_in_the_network_train_as_normalised_numbers_do(compile):
    how = {"max_epochs": 5, "batch_size": 7, "lr": 0.001, "compile": compile}
    model, guide, pixels, y = problem()
    model.backbone.stem = nn.Sequential(
        vds.Standardise(torch.tensor([100.0]), torch.tensor([60.0])), model.backbone.stem
    )
    history = vds.fit(model, guide, (pixels, y), validation=(pixels, y), **how, **QUIET)
    other, its_guide, _, _ = problem()
    expected = vds.fit(other, its_guide, (scaled(pixels), y), validation=(scaled(pixels), y), **how, **QUIET)
    torch.testing.assert_close(history.elbo, expected.elbo, rtol=1e-4, atol=1e-4)
    probs = vds.predict_proba(other, its_guide, scaled(pixels), depth=1)
    torch.testing.assert_close(vds.predict_proba(model, guide, pixels, depth=1), probs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vds.prune(model, guide, depth=1)(pixels).double().exp(), probs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("statistics", "compile"), [("per_depth", False), ("shared", False), ("per_depth", True)])
def test_bfloat16_touches_the_network_only(compile, statistics):
    found = []
    for precision in ("float32", "bf16"):
        model, guide, pixels, y = problem(statistics)
        how = {"max_epochs": 5, "batch_size": 7, "lr": 0.001, "precision": precision, "compile": compile}
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a fallback would compare eager with eager
            history = vds.fit(model, guide, (scaled(pixels), y), **how, **QUIET)
        assert all(t.dtype in (torch.float32, torch.int64) for t in state(model, guide).values())
        assert history.elbo.dtype == torch.float32
        assert model.autocast is None
        found.append((history.elbo, guide.logits["depth"].detach()))
    assert not torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1], found[0], rtol=0.02, atol=0.02)


def test_likelihood_sums_are_in_float32_under_bfloat16():
    """A sum over 3,000 points in bfloat16, with its 8 bits, would be off by percents."""
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 2, 5, 1), num_data=3000)
    x, y = torch.randn(3000, 2), torch.randint(0, 2, (3000,))
    guide = vds.AutoCategorical(model)
    elbo = vds.enum_elbo(model, guide)
    with computing_in(model, "bf16", torch.device("cpu")):
        found = elbo(x, y)
        outputs = model.outputs(x)
    log_probs = outputs.double().log_softmax(-1).gather(-1, y.expand(2, -1)[..., None]).sum((1, 2))
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(found.double(), guide.kl(model).double() - log_probs.mean(), rtol=1e-6, atol=1e-3)


def test_channels_last_gives_the_same_numbers():
    found = []
    for channels_last in (False, True):
        model, guide, pixels, y = problem()
        how = {"max_epochs": 5, "batch_size": 7, "lr": 0.001, "channels_last": channels_last}
        found.append((vds.fit(model, guide, (scaled(pixels), y), **how, **QUIET).elbo, state(model, guide)))
        kernel = model.backbone.blocks[0][5].weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) is channels_last
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("as_a_user")
def test_settings_that_the_device_lacks_are_refused():
    model, guide, pixels, y = problem()
    data = scaled(pixels), y
    with pytest.raises(ValueError, match="Expected precision 'float32', 'tf32' or 'bf16', got 'fp8'"):
        vds.fit(model, guide, data, precision="fp8", **QUIET)
    with pytest.raises(ValueError, match="Expected a CUDA device for precision 'tf32', got cpu"):
        vds.fit(model, guide, data, precision="tf32", **QUIET)
    stacked = vds.VDSModel(vds.Replicated(model.backbone, 2), num_data=12)
    with pytest.raises(ValueError, match="Expected channels_last=False for replicates"):
        vds.fit(stacked, vds.AutoCategorical(stacked), data, channels_last=True, **QUIET)
    with pytest.raises(
        ValueError, match=r"torch.uint8\. For pixels, put pyro_vds.Standardise\(mean, std\) before the stem"
    ):
        vds.fit(model, guide, (pixels, y), **QUIET)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.0, 0.0], [1.0], r"Expected a mean and a std for each channel, got \(2,\), \(1,\)"),
        ([0.0], [0.0], r"Expected finite means and positive stds, got \[0.0\] and \[0.0\]"),
        ([float("nan")], [1.0], "Expected finite means and positive stds"),
    ],
)
def test_standardise_refuses_what_it_cannot_use(mean, std, message):
    with pytest.raises(ValueError, match=message):
        vds.Standardise(torch.tensor(mean), torch.tensor(std))

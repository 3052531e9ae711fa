"""Networks of torchvision and timm by name: shapes, resizing, weights of a file, and what is refused."""

import sys

import pytest
import torch
import torchvision

from pyro_vds.backbones.named import DEPTHS, timm_network, torchvision_network
from pyro_vds.cli import main as cli
from pyro_vds.runs.settings import Settings


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "vit"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_depth_is_read_out(name, channels):
    torch.manual_seed(0)
    net = torchvision_network(name, (channels, 32, 32), 5, max_depth=DEPTHS[name]).eval()
    assert net(torch.randn(2, channels, 32, 32)).shape == (DEPTHS[name] + 1, 2, 5)
    plain = torchvision_network(name, (channels, 32, 32), 5, max_depth=DEPTHS[name], readout="last").eval()
    assert plain(torch.randn(2, channels, 32, 32)).shape == (2, 5)


def test_grey_images_are_repeated_and_resized():
    torch.manual_seed(0)
    net = torchvision_network("resnet18", (1, 8, 8), 5, max_depth=8, image_size=64).eval()
    x = torch.randn(2, 1, 8, 8)
    resized = torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
    direct = torchvision_network("resnet18", (3, 64, 64), 5, max_depth=8).eval()
    direct.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(x), direct(resized))


def test_vit_b_16_takes_small_images():
    net = torchvision_network("vit_b_16", (1, 28, 28), 10, max_depth=12)
    assert net.space.sizes == (13,)
    assert net.stem(torch.zeros(1, 1, 28, 28)).shape == (1, 197, 768)


def test_pretrained_weights_are_read_from_torch_s_cache(tmp_path, monkeypatch):
    """A file in the cache stands for the download, which a test does not wait for."""
    torch.manual_seed(1)
    original = torchvision.models.resnet18()
    (tmp_path / "checkpoints").mkdir()
    torch.save(original.state_dict(), tmp_path / "checkpoints" / "resnet18-f37072fd.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    net = torchvision_network("resnet18", (3, 32, 32), 10, max_depth=8, pretrained=True)
    torch.testing.assert_close(net.blocks[3].conv1.weight, original.layer2[1].conv1.weight)
    other = torchvision_network("resnet18", (3, 32, 32), 10, max_depth=8)
    assert not torch.equal(other.blocks[3].conv1.weight, original.layer2[1].conv1.weight)


def test_loading_a_run_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: torchvision.models.resnet18().state_dict()
    )
    run = tmp_path / "run"
    words = ["fit", "digits", "--network", "resnet18", "--pretrained", "--train-size", "40", "--max-epochs", "1"]
    cli.main([*words, "--progress", "false", "--out", str(run)])
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("downloads again"))
    cli.main(["evaluate", str(run)])


@pytest.mark.parametrize(
    ("name", "shape", "options", "expected"),
    [
        ("resnet18", (2,), {}, "Expected images of 1 or 3 channels for resnet18, got inputs of shape"),
        ("vit", (4, 8, 8), {}, "Expected images of 1 or 3 channels for vit"),
        ("vit", (1, 10, 10), {}, "Expected square images with sides in multiples of 4 and"),
        ("vit", (1, 8, 12), {}, "Expected square images with sides in multiples of 4 and"),
        ("vit", (1, 8, 8), {"channels": 20}, "channels in multiples of 16 for vit, got 8 x 8 and 20 channels"),
        ("vit_b_16", (1, 8, 8), {"image_size": 32}, "Expected image_size 224 for vit_b_16, got 32"),
    ],
)
def test_what_does_not_suit_is_refused(name, shape, options, expected):
    with pytest.raises(ValueError, match=expected):
        torchvision_network(name, shape, 10, max_depth=2, **options)


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [("resnet10t", 40, 40), ("test_vit", 64, 64), ("test_vit", None, 160), ("test_convnext", None, 32)],
)
def test_timm_s_networks_take_images_of_any_size(name, size, side):
    torch.manual_seed(0)
    net = timm_network(name, (1, 32, 32), 5, image_size=size).eval()
    x = torch.randn(2, 1, 32, 32)
    assert net.stem[0](x).shape == (2, 3, side, side)
    assert net(x).shape == (net.max_depth + 1, 2, 5)


@pytest.mark.usefixtures("as_a_user")
def test_names_of_timm_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="Expected the name of a network of timm, got resnet19. Similar names: res"):
        timm_network("resnet19", (3, 32, 32), 5)
    with pytest.raises(ValueError, match="Expected images of 1 or 3 channels for timm:resnet18, got inputs of shape"):
        timm_network("resnet18", (7,), 5)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"Run pip install 'pyro-vds\[timm\]'"):
        timm_network("resnet18", (3, 32, 32), 5)


def test_settings_name_what_goes_with_a_network():
    assert Settings(network="resnet50").resolved().max_depth == 16
    assert Settings(network="vit", data="mnist").resolved().max_depth == 6
    assert Settings(network="vit", max_depth=3).resolved().max_depth == 3
    for given, expected in (
        ({"network": "resnet18", "max_depth": 3}, "Expected max_depth 8 for resnet18, got 3"),
        ({"network": "vit", "pretrained": True}, "Expected resnet18, resnet34, resnet50 or vit_b_16 for pretrained"),
        ({"network": "resnet18", "head_statistics": "shared"}, "Expected the network residual for widths or shared"),
        (
            {"network": "timm:resnet18", "max_depth": 3},
            "Expected no max_depth for timm:resnet18, whose depth",
        ),
        (
            {"network": "resnet19"},
            "Expected a network of residual, resnet18, .*, or timm:NAME such as timm:re",
        ),
        ({"network": "timm:"}, "Expected a network of .* got timm:"),
        ({"image_size": 32}, "Expected a network of torchvision or timm, such as resnet18 or timm:resnet18, for"),
    ):
        with pytest.raises(ValueError, match=expected):
            Settings(**given)

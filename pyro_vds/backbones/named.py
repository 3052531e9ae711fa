"""Networks of torchvision and timm by name, for images of any size and number of channels."""

import difflib
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.from_modules import FromModules
from pyro_vds.backbones.per_depth import Readout
from pyro_vds.backbones.timm_networks import from_timm, takes_one_size
from pyro_vds.backbones.vision import from_resnet, from_vit

# torchvision takes a second to import, so the functions that need it import it.
if TYPE_CHECKING:
    from torchvision.models import VisionTransformer


NetworkName = Literal["residual", "resnet18", "resnet34", "resnet50", "vit", "vit_b_16"]


# How the name of a network of timm begins, among the names of networks.
TIMM = "timm:"


# The number of blocks of each network; vit can have any number.
DEPTHS = {"resnet18": 8, "resnet34": 16, "resnet50": 16, "vit": 6, "vit_b_16": 12}


PATCH, CHANNELS_OF_HEAD = 4, 16


VIT_B_16_SIZE = 224


def torchvision_network(
    name: NetworkName,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    max_depth: int,
    channels: int = 64,
    image_size: int | None = None,
    pretrained: bool = False,
    readout: Readout = "all",
) -> FromModules:
    """Return a network of torchvision as a backbone for images.

    Grey images are repeated to three channels, and images are resized to ``image_size`` if it is given.

    Args:
        name: ``"resnet18"``, ``"resnet34"``, ``"resnet50"`` (He et al. 2016, arXiv 1512.03385), ``"vit_b_16"``
            (Dosovitskiy et al. 2021, arXiv 2010.11929), or ``"vit"``: a small vision transformer with patches of 4 x 4
            pixels, one attention head for every 16 channels, and hidden layers twice as wide as the tokens.
        input_shape: Shape of one image, ``(channels, height, width)``.
        outputs: Number of outputs.
        max_depth: Number of blocks of ``"vit"``.
        channels: Width of ``"vit"``, a multiple of 16.
        image_size: Height and width to resize images to; ``None`` keeps their size, and means 224 for ``"vit_b_16"``.
        pretrained: Whether to start from torchvision's weights (ImageNet), which are downloaded once.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).

    Raises:
        OSError: If weights cannot be downloaded.
        ValueError: If the data are not images of one or three channels, or their size does not fit the network.
    """
    _check_images(input_shape, name)
    if name == "vit":
        sides = input_shape[1:] if image_size is None else (image_size, image_size)
        network = from_vit(_small_vit(sides, max_depth, channels), outputs, readout=readout)
    elif name == "vit_b_16":
        image_size = VIT_B_16_SIZE if image_size is None else image_size
        if image_size != VIT_B_16_SIZE:
            raise ValueError(f"Expected image_size {VIT_B_16_SIZE} for vit_b_16, got {image_size}.")
        network = from_vit(_from_torchvision(name, pretrained), outputs, readout=readout)
    else:
        network = from_resnet(_from_torchvision(name, pretrained), outputs, readout=readout)
    network.stem = nn.Sequential(_Fitted(image_size), network.stem)
    return network


def timm_network(
    name: str,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    image_size: int | None = None,
    pretrained: bool = False,
    readout: Readout = "all",
) -> FromModules:
    """Return a network of timm as a backbone for images, see :func:`pyro_vds.from_timm`.

    Grey images are repeated to three channels, and images are resized to ``image_size`` if it is given.

    Args:
        name: What timm calls the network, such as ``"resnet18"`` or ``"vit_tiny_patch16_224"``.
        input_shape: Shape of one image, ``(channels, height, width)``.
        outputs: Number of outputs.
        image_size: Height and width to resize images to; ``None`` keeps their size, and for a network that takes one
            size only means that size.
        pretrained: Whether to start from timm's weights, which are downloaded once.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such network, it has another structure, or the data are not images of one or three
            channels.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"Expected timm for the network timm:{name}. Run pip install 'pyro-vds[timm]'.") from error
    _check_images(input_shape, f"timm:{name}")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        hint = f" Similar names: {', '.join(near)}." if near else " timm.list_models() has all names."
        raise ValueError(f"Expected the name of a network of timm, got {name}.{hint}")
    network: Any = timm.create_model(name, pretrained=pretrained)
    if takes_one_size(network):
        if image_size not in (None, network.patch_embed.img_size[0]):
            network.set_input_size(img_size=(image_size, image_size))
        image_size = network.patch_embed.img_size[0]
    backbone = from_timm(network, outputs, readout=readout)
    backbone.stem = nn.Sequential(_Fitted(image_size), backbone.stem)
    return backbone


def _check_images(input_shape: tuple[int, ...], name: str) -> None:
    if len(input_shape) != 3 or input_shape[0] not in (1, 3):
        raise ValueError(
            f"Expected images of 1 or 3 channels for {name}, got inputs of shape {input_shape}. Use the network "
            "residual, which takes any number."
        )


def _from_torchvision(name: str, pretrained: bool) -> Any:
    """Return a network of torchvision with random or downloaded weights; a download is read without running code."""
    from torchvision import models

    network = models.get_model(name)
    if pretrained:
        url = models.get_model_weights(name).DEFAULT.url  # pyright: ignore[reportAttributeAccessIssue]
        network.load_state_dict(torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True))
    return network


def _small_vit(sides: tuple[int, ...], depth: int, width: int) -> "VisionTransformer":
    from torchvision.models import VisionTransformer

    if sides[0] != sides[1] or sides[0] % PATCH or width % CHANNELS_OF_HEAD:
        raise ValueError(
            f"Expected square images with sides in multiples of {PATCH} and channels in multiples of "
            f"{CHANNELS_OF_HEAD} for vit, got {sides[0]} x {sides[1]} and {width} channels. Set image_size or channels."
        )
    # from_vit replaces the head, whose size is the last argument.
    return VisionTransformer(sides[0], PATCH, depth, width // CHANNELS_OF_HEAD, width, 2 * width, num_classes=1)


class _Fitted(nn.Module):
    """Resizes images and repeats grey ones to three channels."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 3 rows columns"]:
        if self.size is not None:
            x = nn.functional.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        return x.expand(-1, 3, -1, -1)

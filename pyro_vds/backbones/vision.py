"""Backbones from torchvision's residual networks and vision transformers, pretrained or not."""

from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.from_modules import FromModules, WidthToModule
from pyro_vds.backbones.per_depth import Readout

# torchvision takes a second to import, so the functions that need it import it.
if TYPE_CHECKING:
    from torchvision.models import ResNet, VisionTransformer


Heads = Literal["shared", "per_stage"]


TokenPool = Literal["class", "mean"]


def from_resnet(
    resnet: "ResNet",
    out_features: int | None = None,
    *,
    heads: Heads = "shared",
    readout: Readout = "all",
) -> FromModules:
    """Return a torchvision ResNet (He et al. 2016, arXiv 1512.03385) as a backbone read out at every depth.

    Each residual block is a depth: ``D`` is 8 for ResNet-18 and 16 for ResNet-50; depth 0 reads out the stem
    (convolution and max pooling). Global average pooling gives features of 64 to 512 channels (2048 in ResNet-50),
    a different number in each of the four stages.

    Example::

        net = vds.from_resnet(torchvision.models.resnet18(weights="DEFAULT"), out_features=10)

    Args:
        resnet: The network; the backbone uses its modules without copying them.
        out_features: Size of a new linear head; ``None`` keeps ``resnet.fc``, and the last depth is ``resnet`` itself.
        heads: ``"shared"``: one head, with a linear adapter from each earlier stage; ``"per_stage"``: a linear head
            for each stage.
        readout: ``"all"`` depths, or only the ``"last"`` one: outputs ``(batch, out_features)``.

    Raises:
        TypeError: If ``resnet`` is not a torchvision ResNet, or new heads are needed and its ``fc`` is not a Linear.
        ValueError: If ``heads`` or ``readout`` is unknown.
    """
    from torchvision.models import ResNet

    if not isinstance(resnet, ResNet):
        raise TypeError(_wrong_network("a torchvision ResNet", resnet))
    if heads not in get_args(Heads):
        raise ValueError(f"Expected heads 'shared' or 'per_stage', got {heads!r}.")
    blocks = [block for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4) for block in layer]
    like = next(resnet.parameters())
    return FromModules(
        nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool),
        blocks,
        _resnet_head(resnet.fc, out_features, heads),
        example=like.new_zeros(1, in_channels(resnet.conv1), 32, 32),
        pool=nn.Sequential(resnet.avgpool, nn.Flatten()),
        readout=readout,
    )


def from_vit(
    vit: "VisionTransformer",
    out_features: int | None = None,
    *,
    pool: TokenPool = "class",
    readout: Readout = "all",
) -> FromModules:
    """Return a torchvision vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) as a backbone.

    Each encoder layer is a depth; depth 0 reads out the embedded patches. The encoder's final layer norm and the head
    follow at every depth.

    Example::

        net = vds.from_vit(torchvision.models.vit_b_16(weights="DEFAULT"), out_features=10)

    Args:
        vit: The network; the backbone uses its modules without copying them.
        out_features: Size of a new linear head; ``None`` keeps ``vit.heads``, and with ``pool="class"`` the last depth
            is ``vit`` itself.
        pool: ``"class"`` reads out the class token, ``"mean"`` the mean over the patches.
        readout: ``"all"`` depths, or only the ``"last"`` one: outputs ``(batch, out_features)``.

    Raises:
        TypeError: If ``vit`` is not a torchvision VisionTransformer.
        ValueError: If ``pool`` or ``readout`` is unknown.
    """
    from torchvision.models import VisionTransformer

    if not isinstance(vit, VisionTransformer):
        raise TypeError(_wrong_network("a torchvision VisionTransformer", vit))
    if pool not in get_args(TokenPool):
        raise ValueError(f"Expected pool 'class' or 'mean', got {pool!r}.")
    like = vit.class_token
    return FromModules(
        _Patches(vit),
        vit.encoder.layers,
        vit.heads if out_features is None else nn.Linear(vit.hidden_dim, out_features).to(like),
        example=like.new_zeros(1, in_channels(vit.conv_proj), vit.image_size, vit.image_size),
        pool=_Tokens(vit.encoder.ln, pool),
        readout=readout,
    )


class _Patches(nn.Module):
    """The tokens of an image: the class token and the embedded patches, with their positions."""

    def __init__(self, vit: "VisionTransformer") -> None:
        super().__init__()
        self.conv_proj = vit.conv_proj
        self.class_token = vit.class_token
        self.pos_embedding = vit.encoder.pos_embedding
        self.dropout = vit.encoder.dropout

    def reset_parameters(self) -> None:
        """Draw the embeddings again, as torchvision does."""
        nn.init.zeros_(self.class_token)
        nn.init.normal_(self.pos_embedding, std=0.02)

    def forward(self, x: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch token width"]:
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return self.dropout(tokens + self.pos_embedding)


class _Tokens(nn.Module):
    """The normalised class token, or the mean of the normalised patches."""

    def __init__(self, norm: nn.Module, pool: TokenPool) -> None:
        super().__init__()
        self.norm = norm
        self.pool = pool

    def forward(self, tokens: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch width"]:
        return self.norm(tokens[:, 0]) if self.pool == "class" else self.norm(tokens[:, 1:]).mean(1)


def _resnet_head(fc: nn.Module, out_features: int | None, heads: Heads) -> nn.Module | WidthToModule:
    """Return the shared head, or a function that makes the head of a stage from its width."""
    if heads == "shared" and out_features is None:
        return fc
    if not isinstance(fc, nn.Linear):
        raise TypeError(
            f"Expected a Linear as fc to make new heads, got {type(fc).__name__}. Omit out_features and heads to keep "
            "it, or build the backbone with pyro_vds.FromModules."
        )
    outputs = fc.out_features if out_features is None else out_features

    def head(width: int) -> nn.Module:
        keep = out_features is None and width == fc.in_features
        return fc if keep else nn.Linear(width, outputs).to(fc.weight)

    return head(fc.in_features) if heads == "shared" else head


def in_channels(module: nn.Module) -> int:
    """Return the number of channels of the images that a network takes: that of its first convolution.

    Args:
        module: The network, or its first part.
    """
    return next(child.in_channels for child in module.modules() if isinstance(child, nn.Conv2d))


def _wrong_network(expected: str, network: object) -> str:
    return (
        f"Expected {expected}, got {type(network).__name__}. For any other network, pass its stem, blocks and head to "
        "pyro_vds.FromModules."
    )

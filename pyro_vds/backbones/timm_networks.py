"""Backbones from timm's networks, found by their own structure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.agreement import agree, redrawn
from pyro_vds.backbones.from_modules import FromModules
from pyro_vds.backbones.per_depth import Readout
from pyro_vds.backbones.vision import in_channels
from pyro_vds.ops.compat import with_children
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_rng

# What timm calls the parts behind the features.
_OF_HEADS = ("head", "fc", "fc_norm", "attn_pool", "global_pool", "head_drop")


# Networks that take images of any size are tried out with this one.
_SIDE = 64


@dataclass(frozen=True)
class _Structure:
    """Where a kind of network has its blocks.

    Attributes:
        kind: What such a network is called.
        parts: The children that hold blocks, or stages of blocks, in order.
        start: The first child, by which the kind is known too.
        norm: The norm behind the blocks; ``None`` if there is none.
        staged: Whether the parts hold stages, each with blocks, and perhaps a downsampling before them.
    """

    kind: str
    parts: tuple[str, ...]
    start: str
    norm: str | None = None
    staged: bool = False

    def __str__(self) -> str:
        parts = self.parts[0] if len(self.parts) == 1 else f"{self.parts[0]} to {self.parts[-1]}"
        return f"{self.start} and {parts} ({self.kind})"

    def blocks(self, network: nn.Module) -> Iterator[nn.Module]:
        """Yield the blocks in order; one that follows a downsampling contains it."""
        for part in self.parts:
            for child in network.get_submodule(part).children():
                if not self.staged:
                    yield child
                    continue
                before = getattr(child, "downsample", None)
                for block in child.get_submodule("blocks").children():
                    yield block if before is None or isinstance(before, nn.Identity) else nn.Sequential(before, block)
                    before = None


_STRUCTURES = (
    _Structure("ResNet", ("layer1", "layer2", "layer3", "layer4"), "conv1"),
    _Structure("ViT", ("blocks",), "patch_embed", "norm"),
    _Structure("Swin", ("layers",), "patch_embed", "norm", staged=True),
    _Structure("ConvNeXt", ("stages",), "stem", "norm_pre", staged=True),
)


def from_timm(network: nn.Module, out_features: int | None = None, *, readout: Readout = "all") -> FromModules:
    """Return a network of timm as a backbone read out at every depth: a ResNet, ViT, Swin transformer or ConvNeXt.

    Each block is a depth; depth 0 reads out the stem, or the embedded patches. Where a network halves its maps, the
    step belongs to the block behind it. The network's own norm and pooling give the features of every depth whose
    activations have as many channels as the last ones. Those of earlier stages are the mean over the map, and reach
    the head through a layer norm and a linear map, which are new.

    The structure is known by the names of the parts. On a random image, and with random weights in a copy, the last
    depth is compared with the network, so that one that does something else besides is refused.

    Example::

        net = vds.from_timm(timm.create_model("vit_small_patch16_224", pretrained=True), out_features=10)

    Args:
        network: The network; the backbone uses its modules without copying them.
        out_features: Size of a new linear head; ``None`` keeps the network's classifier, and the last depth is the
            network itself.
        readout: ``"all"`` depths, or only the ``"last"`` one: outputs ``(batch, out_features)``.

    Raises:
        ValueError: If the network has none of these structures, or its blocks are not all that it does; or ``readout``
            is unknown.
    """
    structure = _structure_of(network)
    classifier = _classifier(network)
    heads = {name: None for name, _ in network.named_children() if name in _OF_HEADS}
    empty: dict[str, nn.Module | None] = {name: nn.Sequential() for name in structure.parts}
    norm = nn.Identity() if structure.norm is None else network.get_submodule(structure.norm)
    empty |= {} if structure.norm is None else {structure.norm: nn.Identity()}
    stem = _Part(with_children(network, heads | empty), "forward_features")
    blocks, pool = list(structure.blocks(network)), _Pool(network, norm)
    example = _example(network)
    chain = nn.Sequential(stem, *blocks, pool)
    _check(network, structure, chain, example)
    head = classifier if out_features is None else _new_head(chain, out_features, example)
    return FromModules(stem, blocks, head, example=example, pool=pool, adapter=_normed_linear, readout=readout)


def takes_one_size(network: nn.Module) -> bool:
    """Return whether a network of timm takes images of one size only, as most transformers do.

    Args:
        network: The network.
    """
    return getattr(getattr(network, "patch_embed", None), "img_size", None) is not None


class _Part(nn.Module):
    """One method of a network of timm as a module."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        # The network itself is not called, so that a hook of freeze sets the mode of this module only.
        self.network.training = self.training
        if self.method == "forward_head":
            return getattr(self.network, self.method)(x, pre_logits=True)
        return getattr(self.network, self.method)(x)


class _Pool(nn.Module):
    """The network's own norm and pooling, or the mean over a map that has other channels than the last one."""

    def __init__(self, network: Any, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.own = _Part(_pooling_of(network), "forward_head")
        self.channels: int = network.num_features
        self.last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, activations: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        axis = -1 if self.last or activations.ndim == 3 else 1
        if activations.shape[axis] == self.channels:
            return self.own(self.norm(activations))
        return activations.mean((1, 2) if axis == -1 else (2, 3))


def _pooling_of(network: Any) -> nn.Module:
    """Return what a network does behind its features, without the classifier and what comes before."""
    kept: dict[str, nn.Module | None] = dict.fromkeys(name for name, _ in network.named_children())
    classifier = _classifier(network)
    for name in _OF_HEADS:
        child = getattr(network, name, None)
        if isinstance(child, nn.Module) and child is not classifier:
            inside = {key: nn.Identity() for key, module in child.named_children() if module is classifier}
            kept[name] = with_children(child, inside)
    return with_children(network, kept, own=False)


def _classifier(network: Any) -> nn.Module:
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Module):
        raise _refused(network, "with several classifiers")
    return classifier


def _structure_of(network: nn.Module) -> _Structure:
    names = {name for name, _ in network.named_children()}
    methods = ("forward_features", "forward_head", "get_classifier")
    for structure in _STRUCTURES:
        looked_for = {structure.start, *structure.parts} | ({structure.norm} if structure.norm else set())
        if looked_for <= names and all(hasattr(network, method) for method in methods):
            inside = [child for part in structure.parts for child in network.get_submodule(part).children()]
            if structure.staged == all("blocks" in dict(child.named_children()) for child in inside):
                return structure
    raise _refused(network, f"with the parts {', '.join(sorted(names)) or 'none'}")


def _refused(network: nn.Module, what: str) -> ValueError:
    return ValueError(
        f"Expected a network of timm with the parts {'; '.join(map(str, _STRUCTURES))}; got {type(network).__name__} "
        f"{what}. Pass its stem, blocks and head to pyro_vds.FromModules."
    )


@torch.no_grad()
def _check(network: nn.Module, structure: _Structure, chain: nn.Module, x: Tensor) -> None:
    """Raise unless a chain of parts has the features of the network, whatever the weights are."""
    network_copy, chain_copy = redrawn(network, chain)
    x = x.to(next(network_copy.parameters()).dtype)
    expected = network_copy.forward_head(network_copy.forward_features(x), pre_logits=True)
    try:
        found = chain_copy(x)
    except Exception as error:
        raise _refused(network, f"whose blocks do not follow each other as in a {structure.kind}: {error}") from error
    if not agree(found, expected):
        raise _refused(network, f"whose features are other than those of its blocks in a row, as in a {structure.kind}")


def _example(network: nn.Module) -> Float[Tensor, "1 channels height width"]:
    """Return a random image of a size that the network takes."""
    like = next(network.parameters())
    sides = network.get_submodule("patch_embed").img_size if takes_one_size(network) else (_SIDE, _SIDE)
    with isolated_rng(like.device, 0):
        return torch.randn(1, in_channels(network), *sides).to(like)  # pyright: ignore[reportGeneralTypeIssues]


@torch.no_grad()
def _new_head(chain: nn.Module, outputs: int, x: Tensor) -> nn.Module:
    with eval_mode(chain):
        features = chain(x)
    return nn.Linear(features.shape[-1], outputs).to(features)


def _normed_linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, outputs))

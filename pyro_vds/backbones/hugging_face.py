"""Backbones from the encoders of Hugging Face's transformers, found by their own structure."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.agreement import agree, redrawn
from pyro_vds.backbones.from_modules import FromModules
from pyro_vds.backbones.per_depth import Readout
from pyro_vds.backbones.vision import TokenPool, in_channels
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Inputs

_MASK = "attention_mask"
_TOKENS = 6
# All float types have it, and e to its power is zero in all of them.
_NEVER = torch.finfo(torch.float16).min


@dataclass(frozen=True)
class _Structure:
    """Where a kind of encoder has its layers.

    Attributes:
        kind: What such an encoder is called.
        layers: The path to the layers.
        norm: The norm behind them; ``None`` if there is none.
    """

    kind: str
    layers: str
    norm: str | None = None

    def __str__(self) -> str:
        return f"embeddings and {self.layers}{' and ' + self.norm if self.norm else ''} ({self.kind})"

    def fits(self, encoder: nn.Module) -> bool:
        """Return whether an encoder has all of these parts."""
        modules = dict(encoder.named_modules())
        paths = ("embeddings", self.layers, *([self.norm] if self.norm else []))
        return all(path in modules for path in paths) and isinstance(modules[self.layers], nn.ModuleList)


# Those with a norm come first: the others would leave it out.
_STRUCTURES = (
    _Structure("ViT", "layers", "layernorm"),
    _Structure("DINOv2, DeiT", "encoder.layer", "layernorm"),
    _Structure("BERT, RoBERTa", "encoder.layer"),
    _Structure("DistilBERT", "transformer.layer"),
)


def from_transformers(
    encoder: nn.Module,
    out_features: int | None = None,
    *,
    pool: TokenPool = "class",
    readout: Readout = "all",
) -> FromModules:
    """Return an encoder of Hugging Face's transformers as a backbone read out at every depth.

    Each layer is a depth; depth 0 reads out the embeddings. Encoders like BERT (Devlin et al. 2019, arXiv 1810.04805),
    RoBERTa and DistilBERT take token ids, those like ViT images. At every depth the encoder's last layer norm, if it
    has one behind its layers, and a head follow. Of a model with a head of its own, such as
    ``BertForSequenceClassification``, the encoder is taken.

    The backbone takes what the tokenizer returns, as a dict; or a tuple of the ids and their attention mask; or the
    ids alone::

        encoder = transformers.AutoModel.from_pretrained("distilbert-base-uncased")
        net = vds.from_transformers(encoder, out_features=2)
        net({"input_ids": ids, "attention_mask": mask})  # (7, batch, 2)

    The mask reaches every layer and the pool as one more channel of the activations, so that a block maps one tensor to
    one of the same shape.

    The structure is known by the names of the parts. On random inputs, and with random weights in a copy, the last
    depth is compared with the encoder, so that one that does something else besides is refused.

    Args:
        encoder: The encoder; the backbone uses its modules without copying them. Its attention is ``"eager"`` or
            ``"sdpa"``.
        out_features: Size of a new linear head; ``None`` returns the features.
        pool: ``"class"`` takes the first token, and the features of the last depth are ``last_hidden_state[:, 0]``.
            ``"mean"`` is the mean of ``last_hidden_state`` over all tokens that the mask keeps.
        readout: ``"all"`` depths, or only the ``"last"`` one.

    Raises:
        ValueError: If the encoder has none of these structures, or its layers are not all that it does; or ``pool`` or
            ``readout`` is unknown, or the attention is another.
    """
    if pool not in get_args(TokenPool):
        raise ValueError(f"Expected pool 'class' or 'mean', got {pool!r}.")
    encoder = getattr(encoder, "base_model", encoder)
    structure = next((structure for structure in _STRUCTURES if structure.fits(encoder)), None)
    if structure is None:
        raise _refused(encoder, f"with the parts {', '.join(name for name, _ in encoder.named_children()) or 'none'}")
    config: Any = encoder.config
    _check_attention(config)
    width: int = config.hidden_size
    stem = _Embedded(encoder.get_submodule("embeddings"), str(encoder.main_input_name))
    blocks = [_Masked(layer, width) for layer in attrgetter(structure.layers)(encoder)]
    example = _example(encoder)
    _check(encoder, structure, nn.Sequential(stem, *blocks), example)
    norm = nn.Identity() if structure.norm is None else encoder.get_submodule(structure.norm)
    head = nn.Identity() if out_features is None else nn.Linear(width, out_features).to(next(encoder.parameters()))
    return FromModules(stem, blocks, head, example=example, pool=_Tokens(norm, width, pool), readout=readout)


class _Embedded(nn.Module):
    """The embedded inputs, followed by the mask as one more channel if there is one."""

    def __init__(self, embeddings: nn.Module, name: str) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.name = name
        self.names = {*inspect.signature(embeddings.forward).parameters, _MASK}

    def forward(self, x: Inputs) -> Float[Tensor, "batch token channels"]:
        parts = self._named(x)
        mask = parts.pop(_MASK, None)
        hidden = self.embeddings(**parts)
        return hidden if mask is None else torch.cat([hidden, (mask != 0)[..., None].to(hidden)], -1)

    def _named(self, x: Inputs) -> dict[str, Tensor]:
        if isinstance(x, tuple) and len(x) == 2:
            return {self.name: x[0], _MASK: x[1]}
        parts = {self.name: x} if isinstance(x, Tensor) else dict(x) if isinstance(x, Mapping) else {}
        if self.name not in parts or not self.names >= parts.keys():
            given = f"the names {', '.join(map(str, parts))}" if parts else f"{type(x).__name__} of {len(x)} parts"
            raise ValueError(
                f"Expected {self.name}, or a pair of them and their {_MASK}, or a dict with names of "
                f"{', '.join(sorted(self.names))}; got {given}."
            )
        return parts


class _Masked(nn.Module):
    """A layer, which passes the mask on."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.width = width

    def forward(self, activations: Float[Tensor, "batch token channels"]) -> Float[Tensor, "batch token channels"]:
        hidden, mask = _parts(activations, self.width)
        # Added to the logits of attention: for eager attention and torch's own, in all versions of transformers.
        added = None if mask is None else (1 - mask[:, None, None]) * _NEVER
        output = self.layer(hidden, added)
        hidden = output[0] if isinstance(output, tuple) else output
        return hidden if mask is None else torch.cat([hidden, mask[..., None]], -1)


class _Tokens(nn.Module):
    """The first normalised token, or the mean of those that the mask keeps."""

    def __init__(self, norm: nn.Module, width: int, pool: TokenPool) -> None:
        super().__init__()
        self.norm = norm
        self.width = width
        self.pool = pool

    def forward(self, activations: Float[Tensor, "batch token channels"]) -> Float[Tensor, "batch width"]:
        hidden, mask = _parts(activations, self.width)
        if self.pool == "class":
            return self.norm(hidden[:, 0])
        hidden = self.norm(hidden)
        return (
            hidden.mean(1)
            if mask is None
            else (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        )


def _parts(activations: Tensor, width: int) -> tuple[Tensor, Tensor | None]:
    """Return the activations ``(batch, token, width)`` and the mask ``(batch, token)``."""
    if activations.shape[-1] == width:
        return activations, None
    return activations[..., :width].contiguous(), activations[..., width].detach()


def _refused(encoder: nn.Module, what: str) -> ValueError:
    return ValueError(
        f"Expected an encoder of transformers with the parts {'; '.join(map(str, _STRUCTURES))}; got "
        f"{type(encoder).__name__} {what}. Pass its stem, blocks and head to pyro_vds.FromModules."
    )


def _check_attention(config: Any) -> None:
    attention = getattr(config, "_attn_implementation", "eager")
    if attention not in ("eager", "sdpa"):
        raise ValueError(
            f"Expected an encoder with the attention 'eager' or 'sdpa', whose masks are added, got {attention!r}. Load "
            "it with attn_implementation='sdpa'."
        )
    if getattr(config, "is_decoder", False):
        raise ValueError("Expected an encoder, got a decoder, whose tokens see only those before them.")


@torch.no_grad()
def _check(encoder: nn.Module, structure: _Structure, chain: nn.Module, x: Tensor) -> None:
    """Raise unless the layers in a row compute what the encoder does, with and without a mask, whatever the weights."""
    encoder_copy, chain_copy = redrawn(encoder, chain)
    name, width = chain[0].name, x.shape[1]  # pyright: ignore[reportIndexIssue]
    if x.is_floating_point():
        cases = [{name: x.to(next(encoder_copy.parameters()).dtype)}]
    else:
        kept = torch.arange(width) < torch.tensor([[width - 2], [width]])
        cases = [{name: x}, {name: x, _MASK: kept.to(x)}]
    for case in cases:
        expected = encoder_copy(**case).last_hidden_state
        try:
            found = chain_copy(case)[..., : expected.shape[-1]]
            found = found if structure.norm is None else attrgetter(structure.norm)(encoder_copy)(found)
        except Exception as error:
            raise _refused(encoder, f"whose layers are not those of {structure.kind}: {error}") from error
        if not agree(found, expected):
            raise _refused(encoder, f"whose output is other than that of its layers in a row, as in {structure.kind}")


def _example(encoder: Any) -> Tensor:
    """Return random inputs of two points."""
    like, config = next(encoder.parameters()), encoder.config
    with isolated_rng(like.device, 0):
        if encoder.main_input_name == "input_ids":
            return torch.randint(config.vocab_size, (2, _TOKENS), device=like.device)
        sides = config.image_size
        sides = (sides, sides) if isinstance(sides, int) else sides
        return torch.randn(2, in_channels(encoder), *sides).to(like)

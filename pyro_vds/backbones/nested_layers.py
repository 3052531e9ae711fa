"""Layers whose first channels form a narrower layer, for several widths in one pass."""

import copy

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class NestedLayer(nn.Module):
    """A linear layer or convolution on a batch in which each point appears once for every width.

    Width ``j`` sees the first ``inputs[j]`` channels; the others are set to zero. The first ``outputs[j]`` output
    channels then equal the outputs of the narrower layer, and the next layer ignores the other output channels.

    Args:
        layer: The ``Linear`` or ``Conv2d`` to wrap.
        inputs: Input channels of each width.
        outputs: Output channels of each width.
        depths: How often a point appears for each width: once in a block, once for every depth in a head.
    """

    mask: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d, inputs: list[int], outputs: list[int], depths: int) -> None:
        super().__init__()
        self.layer = layer
        self.inputs, self.outputs, self.depths = inputs, outputs, depths
        channels = torch.arange(max(inputs))
        seen = channels < torch.tensor(inputs)[:, None]
        self.register_buffer("mask", seen.to(layer.weight.device, layer.weight.dtype), persistent=False)

    def forward(self, input: Shaped[Tensor, "points inputs *space"]) -> Float[Tensor, "points outputs *smaller"]:
        """Return the outputs of every width.

        Args:
            input: Activations with ``batch * widths * depths`` leading entries; depths vary fastest.
        """
        if len(set(self.inputs)) == 1:
            return self.layer(input)
        space = [1] * (input.ndim - 2)
        grouped = input.unflatten(0, (-1, len(self.inputs), self.depths))
        seen = grouped * self.mask.view(len(self.inputs), 1, -1, *space)
        return self.layer(seen.flatten(0, 2))

    def keep_first(self, depths: int) -> None:
        """Drop all but the first depths, in place."""
        self.depths = depths

    def sliced(self, width: int) -> nn.Module:
        """Return a copy of the layer at one width.

        Args:
            width: Index of the width.
        """
        inputs, outputs = self.inputs[width], self.outputs[width]
        layer = copy.deepcopy(self.layer)
        layer.weight = nn.Parameter(layer.weight.detach()[:outputs, :inputs].clone(), layer.weight.requires_grad)
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach()[:outputs].clone(), layer.bias.requires_grad)
        if isinstance(layer, nn.Linear):
            layer.in_features, layer.out_features = inputs, outputs
        else:
            layer.in_channels, layer.out_channels = inputs, outputs
        return layer


def prefixed(child: str, first: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Return the first entries that use the parameters of a child, under the names that its parent gives them.

    Args:
        child: Name of the child.
        first: For each nested axis the first entry that uses a parameter, by the child's names.
    """
    return {axis: {f"{child}.{name}": entry for name, entry in names.items()} for axis, names in first.items()}

"""Context managers that set train or eval mode."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn


@contextmanager
def train_mode(module: nn.Module, training: bool = True) -> Iterator[None]:
    """Put every submodule into train mode, and restore the mode of each afterwards."""
    changed = [child for child in module.modules() if child.training != training]
    if changed:
        module.train(training)
    try:
        yield
    finally:
        for child in changed:
            child.training = not training


def eval_mode(module: nn.Module) -> AbstractContextManager[None]:
    """Put every submodule into eval mode, and restore the mode of each afterwards."""
    return train_mode(module, training=False)

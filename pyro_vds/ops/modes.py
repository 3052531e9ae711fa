"""Train and eval mode for the time of a block."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn


@contextmanager
def train_mode(module: nn.Module, training: bool = True) -> Iterator[None]:
    """Run with every submodule in train mode, and give each its own mode back afterwards."""
    changed = [child for child in module.modules() if child.training != training]
    if changed:
        module.train(training)
    try:
        yield
    finally:
        for child in changed:
            child.training = not training


def eval_mode(module: nn.Module) -> AbstractContextManager[None]:
    """Run with every submodule in eval mode, and give each its own mode back afterwards."""
    return train_mode(module, training=False)

"""What training shows while it runs: a bar on a terminal or in a notebook, elsewhere a line in the log each minute."""

import logging
import time
from collections.abc import Callable, Generator

SECONDS = 60.0
"""From one line in the log to the next."""

logger = logging.getLogger(__name__)


def each_epoch(epochs: int, state: Callable[[], dict[str, str]], *, show: bool) -> Generator[int]:
    """Yield the numbers of epochs, and show after each how far training is.

    Where standard error is neither a terminal nor a notebook's, a bar would fill a log file: the same words are then
    logged once a minute, at level INFO.

    Args:
        epochs: The largest number of epochs.
        state: What to show, by name; called after an epoch when something is shown.
        show: Whether to show anything.
    """
    if not show:
        yield from range(epochs)
        return
    from tqdm.auto import tqdm

    said = time.monotonic()
    with tqdm(total=epochs, desc="fit", unit="epoch", disable=None, mininterval=0.5) as bar:
        for epoch in range(epochs):
            yield epoch
            if not bar.disable:
                bar.set_postfix(state(), refresh=False)
                bar.update()
            elif time.monotonic() - said >= SECONDS:
                said = time.monotonic()
                words = ", ".join(f"{name} {value}" for name, value in state().items())
                logger.info("epoch %d of at most %d: %s", epoch + 1, epochs, words)

"""What the experiments share: scans as data, one resumable runner, training of repeats, measures."""

from experiments.engine.scan import Grid, Scan, product

__all__ = ["Grid", "Scan", "product"]

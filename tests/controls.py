"""Predictors that are calibrated, and ones that are not."""

import numpy as np

RNG = np.random.default_rng(0)


def predictions(n=4000, classes=5, sharpness=2.0):
    """Probabilities, and labels drawn from them: calibrated by construction."""
    logits = sharpness * RNG.normal(size=(n, classes))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probs.cumsum(1) < RNG.random((n, 1))).sum(1)
    return probs, labels


def overconfident(probs, power=4):
    return probs**power / (probs**power).sum(1, keepdims=True)

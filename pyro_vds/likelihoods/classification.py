"""The likelihood of classes."""

import math
from collections.abc import Sequence
from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.labels import LabelDistribution
from pyro_vds.ops.entropy import split_entropy
from pyro_vds.spaces.typing import Outputs

OFF_ONE = 1e-3
"""How far the sum of a soft label may be from one, as that of numbers in half precision is."""


class Classification(Likelihood):
    """Categorical likelihood: ``p(y | x, d) = softmax(outputs)[y]``, labels ``0..classes-1``.

    Targets are integer labels ``(N,)``, or soft labels ``(N, classes)``: floating-point probabilities that sum to one,
    as several annotators or MixUp make them. The log likelihood of a soft label is the expected log probability of the
    class under it, ``sum_c y_c log p_c``: minus the cross entropy, and that of whole labels where ``y`` is one-hot.

    Class weights multiply the log likelihood of a point in the ELBO and the exact posterior: a tempered likelihood,
    ``p(y | x, d) ** w_y``, in which a point of weight 2 counts like two points. Predictions and their measures do not
    weigh: they are plain probabilities, of a network that was told to care more for some classes.

    Args:
        class_weights: The weight of each class, finite and not negative; ``None`` is 1 for each.

    Raises:
        ValueError: If a weight is negative or not finite, or all are zero.
    """

    numeric: ClassVar[bool] = False
    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Float[Tensor, " classes"] | None = None) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.as_tensor(class_weights).to(torch.get_default_dtype())
        if weights is not None and not (
            weights.ndim == 1 and bool((weights.isfinite() & (weights >= 0)).all()) and bool((weights > 0).any())
        ):
            raise ValueError(
                f"Expected class_weights as a finite number of at least 0 for each class, not all zero, got "
                f"{weights.tolist()}."
            )
        self.register_buffer("class_weights", weights)
        self.tempered = weights is not None

    def forward(self, outputs: Outputs) -> LabelDistribution:
        """Return the distribution of labels, batch shape ``(*axes, batch)``; its ``log_prob`` has the class weights."""
        return LabelDistribution(outputs, self.class_weights)

    def class_log_probs(self, outputs: Outputs) -> Float[Tensor, "..."]:
        """Return ``log_softmax(outputs)``, the log probability of each class, ``(*axes, batch, classes)``, nats.

        Args:
            outputs: Outputs of the network.
        """
        if not torch.compiler.is_exporting():
            return outputs.log_softmax(-1)
        # log_softmax fixes the size of the batch in a graph exported from one example.
        shifted = outputs - outputs.amax(-1, keepdim=True)
        return shifted - shifted.logsumexp(-1, keepdim=True)

    def target_shapes(self, outputs: Outputs) -> tuple[torch.Size, ...]:
        """Return the shapes of a label and of a soft label: ``()`` and ``(classes,)``.

        Args:
            outputs: Outputs for at least one input.
        """
        return torch.Size(), self.class_log_probs(outputs).shape[-1:]

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds integer labels ``(N,)`` in ``0..classes-1``, or soft labels ``(N, classes)``."""
        classes = self.class_log_probs(outputs).shape[-1]
        if self.class_weights is not None and self.class_weights.shape[-1] != classes:
            raise ValueError(
                f"Expected a class weight for each of {classes} classes, got {self.class_weights.shape[-1]} weights."
            )
        if y.ndim == 2 and y.shape[1] == 1 and classes > 1:
            raise ValueError(f"Expected labels of shape (N,), got {tuple(y.shape)}. Use y[:, 0].")
        if y.is_floating_point():
            _check_soft(y, classes)
            return
        if y.dtype == torch.bool or y.is_complex():
            raise TypeError(f"Expected integer labels, got {y.dtype}. Convert them with y.long().")
        if y.ndim != 1:
            raise ValueError(f"Expected labels of shape (N,), got {tuple(y.shape)}. Use y.argmax(-1) for one-hot.")
        lowest, highest = int(y.min()), int(y.max())
        if lowest < 0 or highest >= classes:
            raise ValueError(
                f"Expected labels in 0..{classes - 1} for a network with {classes} outputs, got "
                f"{lowest}..{highest}. Renumber the labels or change out_features."
            )

    def mixture(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> dist.Categorical:
        """Return the mixture over architectures, which is again a categorical distribution.

        Its logits are ``log sum_i q_i softmax(outputs_i)``, the log class probabilities in nats (paper, eq. 3). Its
        ``log_prob`` takes soft labels, and has no class weights.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.
        """
        return LabelDistribution(torch.logsumexp(self.class_log_probs(outputs) + log_weights[..., None], dim=0))

    def prediction(self, mixture: Distribution) -> Float[Tensor, "*batch_shape batch classes"]:
        """Return the log class probabilities, nats.

        Args:
            mixture: The mixture from :meth:`mixture`.
        """
        assert isinstance(mixture, dist.Categorical)
        return mixture.logits

    def disagreement(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> Float[Tensor, "*batch_shape batch"]:
        """Return the mutual information of class and architecture, ``I(y; d | x)``, nats.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.
        """
        return split_entropy(self.class_log_probs(outputs), log_weights).mutual_information

    def log_scores(
        self, outputs: Float[Tensor, "architecture *batch_shape_and_batch event"], y: Tensor
    ) -> tuple[Float[Tensor, "architecture *batch_shape_and_batch row"], Float[Tensor, "*batch_shape_and_batch row"]]:
        """Return log probabilities of classes and how much each counts: the label once, or each class of a soft label.

        Args:
            outputs: Outputs of each architecture.
            y: Labels or soft labels.
        """
        log_probs = self.class_log_probs(outputs)
        if y.is_floating_point():
            return log_probs, y
        log_probs = log_probs.gather(-1, y.long().expand(log_probs.shape[:-1])[..., None])
        return log_probs, torch.ones_like(log_probs[0])

    def metrics(
        self, mixture: Distribution, y: Shaped[Tensor, "*batch_shape_and_batch_and_classes"]
    ) -> dict[str, Shaped[Tensor, "*batch_shape batch"]]:
        """Return measures of a prediction for each point.

        Args:
            mixture: The prediction from :meth:`mixture`.
            y: Labels or soft labels.

        Returns:
            ``log_prob`` in nats, for a soft label the expected log probability under it; ``error``, whether the most
            probable class is wrong, that is, not the label or the largest entry of the soft label; ``confidence``, the
            probability of that class; and ``brier``, the Brier score ``sum_c (p_c - y_c)**2``, with a label one-hot.
        """
        assert isinstance(mixture, dist.Categorical)
        probs = mixture.probs.double()
        confidence, predicted = probs.max(-1)
        soft = y.is_floating_point()
        if soft:
            truth, square, label = (probs * y).sum(-1), y.double().square().sum(-1), y.argmax(-1)
        else:
            truth, square, label = probs.gather(-1, y[..., None].long())[..., 0], 1, y
        return {
            "log_prob": mixture.log_prob(y),
            "error": (predicted != label).to(confidence),
            "confidence": confidence,
            "brier": probs.square().sum(-1) - 2 * truth + square,
        }


def _check_soft(y: Tensor, classes: int) -> None:
    """Raise unless floating-point targets are soft labels."""
    if y.ndim != 2 or y.shape[1] != classes:
        whole = y.ndim == 1 and bool((y == y.round()).all())
        remedy = "Convert whole numbers with y.long()." if whole else "For numbers, use likelihood=Gaussian()."
        raise TypeError(
            f"Expected integer labels, or soft labels of shape (N, {classes}) for a network of {classes} classes, got "
            f"{y.dtype} of shape {tuple(y.shape)}. {remedy}"
        )
    sums = y.sum(1, dtype=torch.float64)
    fits = ((y >= 0) & (y <= 1)).all(1) & ((sums - 1).abs() <= OFF_ONE)
    if not bool(fits.all()):
        first = int((~fits).nonzero()[0, 0])
        total = float(sums[first])
        remedy = "" if math.isnan(total) else " For scores, use y.softmax(-1); for counts, y / y.sum(-1, keepdim=True)."
        raise ValueError(
            f"Expected soft labels in [0, 1] that sum to one, got {int((~fits).sum())} of {len(y)} that do not; the "
            f"first, at index {first}, sums to {total:.4g}.{remedy}"
        )

"""The likelihood of ordered classes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, one_hot

from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.labels import LabelDistribution
from pyro_vds.spaces.typing import Outputs


class Ordinal(Classification):
    """Cumulative logit likelihood of ordered classes, such as grades: ``P(y <= k | x, d) = sigmoid(c_k - output)``.

    The network has one output, and the ``classes - 1`` increasing cut points ``c_k`` are learnt (McCullagh 1980,
    "Regression Models for Ordinal Data"). Targets are those of :class:`Classification`: labels ``0..classes-1`` in
    their order, or soft labels; predictions are class probabilities.

    Args:
        classes: Number of classes, at least 2.
        class_weights: As for :class:`Classification`.

    Raises:
        ValueError: If there are fewer than 2 classes, or not a weight for each.
    """

    def __init__(self, classes: int, class_weights: Sequence[float] | Float[Tensor, " classes"] | None = None) -> None:
        super().__init__(class_weights)
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
            raise ValueError(f"Expected at least 2 classes, got {classes!r}.")
        self.classes = classes
        # Equal probabilities where the output is zero.
        cuts = (torch.arange(1, classes) / classes).to(torch.get_default_dtype()).logit()
        self.first_cut = nn.Parameter(cuts[0].clone())
        self.log_gaps = nn.Parameter(cuts.diff().log())

    @property
    def cut_points(self) -> Float[Tensor, "*replicate_one cuts"]:
        """The increasing cut points ``(classes - 1,)``, of replicates ``(replicate, 1, classes - 1)``."""
        first = self.first_cut[..., None]
        return torch.cat([first, first + self.log_gaps.exp().cumsum(-1)], -1)

    def forward(self, outputs: Outputs) -> LabelDistribution:
        """Return the distribution of labels, batch shape ``(*axes, batch)``; its ``log_prob`` has the class weights."""
        return LabelDistribution(self.class_log_probs(outputs), self.class_weights)

    def class_log_probs(self, outputs: Outputs) -> Float[Tensor, "..."]:
        """Return the log probability of each class, ``log(sigmoid(c_k - f) - sigmoid(c_(k-1) - f))``, nats.

        It is computed as ``log sigmoid(c_k - f) + log sigmoid(f - c_(k-1)) + log(1 - exp(c_(k-1) - c_k))``, which does
        not saturate.

        Args:
            outputs: Outputs of the network, ``(*axes, batch, 1)``.
        """
        below = self.cut_points - outputs
        within = (-torch.expm1(-self.log_gaps.exp())).log()
        middle = logsigmoid(below[..., 1:]) + logsigmoid(-below[..., :-1]) + within
        return torch.cat([logsigmoid(below[..., :1]), middle, logsigmoid(-below[..., -1:])], -1)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless the network has one output and ``y`` holds labels or soft labels."""
        if outputs.shape[-1] != 1:
            raise ValueError(
                f"Expected a network with 1 output for ordered classes, got {outputs.shape[-1]} outputs. Use "
                "out_features=1; the cut points belong to the likelihood."
            )
        super().check_targets(y, outputs)

    def metrics(
        self, mixture: Distribution, y: Shaped[Tensor, "*batch_shape_and_batch_and_classes"]
    ) -> dict[str, Shaped[Tensor, "*batch_shape batch"]]:
        """Return measures of a prediction for each point.

        Args:
            mixture: The prediction from :meth:`mixture`.
            y: Labels or soft labels.

        Returns:
            Those of :class:`Classification`, and ``ranked_score``, the ranked probability score ``sum_k (P(Y <= k) -
            [y <= k])**2``, which counts how far off the probability is; that of a prediction which is right is 0.
        """
        found = super().metrics(mixture, y)
        probs = self.prediction(mixture).double().exp()
        target = y.double() if y.is_floating_point() else one_hot(y.long(), self.classes).double()
        return found | {"ranked_score": (probs - target).cumsum(-1).square().sum(-1)}

"""The network cut to an architecture."""

import copy
from collections.abc import Hashable

from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.cases import Case
from pyro_vds.infer.drawn import of_cut
from pyro_vds.infer.exact import require_one_posterior
from pyro_vds.infer.uncertainty import mean_over_targets
from pyro_vds.infer.weigher import of_case, weigher
from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import StaysFloat32, without_checks_of_arguments
from pyro_vds.ops.inputs import as_inputs, expanded
from pyro_vds.ops.tensors import at_least_float32, dtype_of
from pyro_vds.pruning.folding import fold_batch_norms
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.space import LIMIT, Space
from pyro_vds.spaces.typing import InputsLike


class PrunedNetwork(StaysFloat32):
    """A network cut to an architecture, which still mixes the lower entries of nested axes.

    It is a plain module without Pyro's sites; :func:`prune` makes it (paper, section 2). It maps inputs to the log
    class probabilities of the mixture ``(*batch_shape, batch, classes)``, nats, or for numeric targets to its mean
    and variance.

    Args:
        backbone: The cut network.
        log_weights: Log mixture weight of each architecture that is kept, ``(architecture, *batch_shape, 1)``, nats.
        likelihood: The likelihood, which mixes the outputs.
        log_uniform: The same with equal weights, for :meth:`disagreement`; ``None`` without it.
    """

    log_weights: Tensor
    log_uniform: Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        log_weights: Float[Tensor, "architecture *batch_shape one"],
        likelihood: Likelihood,
        log_uniform: Float[Tensor, "architecture *batch_shape one"] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.likelihood = likelihood
        self.axes = len(getattr(backbone, "space", Space()))
        self.register_buffer("log_weights", log_weights.clone())
        # Not in the state, which fits networks with and without it.
        self.register_buffer("log_uniform", log_uniform, persistent=False)

    def forward(self, x: InputsLike) -> Tensor | tuple[Tensor, Tensor]:
        """Return the prediction of the pruned mixture."""
        return self._prediction(self._outputs(x))

    def disagreement(self, x: InputsLike) -> Float[Tensor, "*batch_shape batch"]:
        """Return how much the architectures that are left disagree about each input, all of them counted the same.

        It is ``predict_disagreement(model, guide, x, **cut)`` of the network that was cut: the mutual information of
        target and architecture for classes, nats; the variance between their means for numbers.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            ValueError: If the network was not pruned with ``disagreement=True``.
        """
        return self.with_disagreement(x)[1]

    def with_disagreement(self, x: InputsLike) -> tuple[Tensor | tuple[Tensor, Tensor], Float[Tensor, "..."]]:
        """Return the prediction and the :meth:`disagreement` from one pass.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            ValueError: If the network was not pruned with ``disagreement=True``.
        """
        if self.log_uniform is None:
            raise ValueError(
                "Expected a network that keeps what its disagreement needs, got one without it. Make it with "
                "pyro_vds.prune(model, guide, disagreement=True, ...)."
            )
        outputs = self._outputs(x)
        with without_checks_of_arguments():
            values = self.likelihood.disagreement(outputs, self.log_uniform)
        return self._prediction(outputs), mean_over_targets(values, self.log_uniform.ndim - 1)

    def _outputs(self, x: InputsLike) -> Tensor:
        """Return the outputs of the architectures that are left, axes flattened, in float32 at least."""
        outputs = self.backbone(expanded(as_inputs(x, dtype_of(self.backbone)), self.log_weights.shape[1:-1]))
        outputs = at_least_float32(outputs)
        return outputs.flatten(0, self.axes - 1) if self.axes else outputs[None]

    def _prediction(self, outputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        # An exported graph cannot contain argument checks, which inspect values.
        with without_checks_of_arguments():
            return self.likelihood.prediction(self.likelihood.mixture(outputs, self.log_weights))


def prune(
    model: VDSModel,
    guide: Guide,
    *,
    weights: Weights = "posterior",
    disagreement: bool = False,
    fold_batch_norm: bool = False,
    **cut: Hashable,
) -> PrunedNetwork:
    """Cut a network to an architecture (paper, section 2).

    Along a nested axis such as the depth, the parts above the label are removed, and the label takes over their
    probability. Any other axis such as the width keeps only the labelled entry, which takes over all probability.

    The result is an independent copy in eval mode that ``torch.export.export`` and
    ``torch.onnx.export(dynamo=True)`` accept. It predicts the same as ``predict_proba(model, guide, x, **cut)``
    with the same weights.

    Args:
        model: A trained model.
        guide: The guide of the model.
        weights: The weights of the architectures that predict, ``"posterior"``, ``"uniform"``, ``"stacked"`` or
            ``"exact"``.
        disagreement: Whether the network also has :meth:`PrunedNetwork.disagreement`, how much the architectures that
            are left disagree about an input. It needs no more than the read-outs that the prediction mixes anyway, at
            the cut and below it, with equal weights. An exported network has the prediction only.
        fold_batch_norm: Whether batch norms that directly follow a linear layer or a convolution become a part of it:
            the same numbers up to rounding, sooner, see :func:`pyro_vds.pruning.folding.fold_batch_norms`. Leave it
            out to train the network on, which needs its batch norms.
        cut: A label for each axis that is cut, such as ``depth=3``; :func:`pyro_vds.choose_depth` and
            :func:`pyro_vds.choose` find one. For an axis with sites, a tuple with the label of each:
            ``**guide.mode()`` cuts to the most probable architecture.

    Raises:
        TypeError: If a label has the wrong type, or the backbone has no ``restrict``.
        ValueError: If no axis is cut, an axis is unknown or has no such label, each input has its own architecture,
            there are no such weights, or ``disagreement`` is asked for and no axis is nested.
    """
    require_one_posterior(model)
    if not model.space.index(cut):
        raise ValueError(f"Expected a label to cut to for one or more of the axes {list(model.space)}, got none.")
    if not isinstance(model.backbone, Backbone):
        raise TypeError(
            f"Expected a backbone with a method restrict(), which returns the cut network, got "
            f"{type(model.backbone).__name__}. Use predict_proba(..., **cut) to predict without cutting the network."
        )
    if disagreement and not any(axis.nested for axis in model.space.values()):
        raise ValueError(
            "Expected a nested axis, such as a depth, whose lower entries stay in a cut network and can disagree; got "
            f"the axes {list(model.space)}, of which none is nested. Use pyro_vds.predict_disagreement, uncut."
        )
    cut = {name: label for name, label in cut.items() if label is not None}
    backbone = model.backbone.restrict(**cut)
    if fold_batch_norm:
        backbone = fold_batch_norms(backbone.eval())
    likelihood = copy.deepcopy(model.likelihood)
    if model.space.count > LIMIT:
        model, guide, cut = _of_one(model, guide, cut)
    tables = weigher(model, guide)(model.device_tensor())
    log_weights = of_case(model.space, tables(weights), Case(weights, cut))
    log_uniform = of_case(model.space, tables("uniform"), Case("uniform", cut)) if disagreement else None
    return PrunedNetwork(backbone, log_weights, likelihood, log_uniform).eval()


def _of_one(model: VDSModel, guide: Guide, cut: dict[str, Hashable]) -> tuple[VDSModel, Guide, dict[str, Hashable]]:
    """Return model and guide of the one choice of all sites that a cut names, and the rest of the cut."""
    sites = model.space.with_sites
    missing = [name for name in sites if name not in cut]
    if missing:
        model.space.require_table("to cut some axes only", f"Name a label for each site of {missing}, too.")
    return *of_cut(model, guide, cut), {name: label for name, label in cut.items() if name not in sites}

"""Single models out of a model of replicates."""

import torch

from pyro_vds.backbones.replicated import Replicated
from pyro_vds.guides.categorical import Guide
from pyro_vds.models.vds_model import VDSModel


@torch.no_grad()
def replicates(model: VDSModel, guide: Guide) -> list[tuple[VDSModel, Guide]]:
    """Return the model and the guide of each replicate, as copies that stand alone.

    Everything that takes one model takes these: ``exact_posterior``, ``prune``, ``choose_depth``, ...

    Args:
        model: A model over a :class:`pyro_vds.Replicated` backbone.
        guide: Its guide.

    Raises:
        ValueError: If the model has no replicates.
    """
    if not isinstance(model.backbone, Replicated):
        raise ValueError("Expected a model with replicates, over pyro_vds.Replicated(backbone, n); got a single one.")
    pairs = []
    for row in range(model.backbone.replicates):
        likelihood = model.likelihood.single(row)
        backbone = model.backbone.copy(row)
        one = VDSModel(backbone, priors=model.priors, likelihood=likelihood, num_data=model.num_data)
        one.train(model.training)
        pairs.append((one, guide.single(one, row)))
    return pairs

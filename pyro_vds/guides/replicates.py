"""The single models and guides of replicates."""

from pyro_vds.guides.categorical import Guide, guide_or_empty
from pyro_vds.models.vds_model import VDSModel


def replicates(model: VDSModel, guide: Guide) -> list[tuple[VDSModel, Guide]]:
    """Return the model and the guide of each replicate, as independent copies.

    Args:
        model: A model with a :class:`pyro_vds.Replicated` backbone.
        guide: The guide of the model.

    Raises:
        ValueError: If the model has no replicates, or the guide belongs to another model.
    """
    guide = guide_or_empty(model, guide)
    if not model.batch_shape:
        raise ValueError("Expected a model with replicates, over pyro_vds.Replicated(backbone, n); got a single one.")
    singles = [model.replicate(r) for r in range(model.batch_shape.numel())]
    return [(single, guide.replicate(single, r)) for r, single in enumerate(singles)]

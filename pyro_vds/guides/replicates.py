"""Single models and guides out of a model of replicates."""

from pyro_vds.guides.categorical import Guide
from pyro_vds.models.vds_model import VDSModel


def replicates(model: VDSModel, guide: Guide) -> list[tuple[VDSModel, Guide]]:
    """Return the model and the guide of each replicate, as copies that stand alone.

    Args:
        model: A model over a :class:`pyro_vds.Replicated` backbone.
        guide: Its guide.

    Raises:
        ValueError: If the model has no replicates.
    """
    singles = [model.replicate(r) for r in range(model.batch_shape.numel())]
    return [(one, guide.replicate(one, r)) for r, one in enumerate(singles)]

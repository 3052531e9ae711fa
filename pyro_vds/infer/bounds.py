"""The evidence lower bound of a model and a guide, as a torch module."""

from typing import cast

from pyro.nn import PyroModule

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.infer.enumerated import EnumELBO
from pyro_vds.infer.sampled import ArchitectureELBO
from pyro_vds.models.vds_model import VDSModel


def enum_elbo(model: VDSModel, guide: PyroModule | None = None) -> EnumELBO:
    """Return the exact negative ELBO of a model and a guide as a module.

    ``L = sum_n sum_i q_i log p(y_n | x_n, d=i) - KL(q || p)`` in nats (paper, eq. 1). ``elbo(x, y)`` is
    ``-L``: on a batch of ``B`` points the first term is scaled by ``N / B`` (paper, eq. 2), so that the mean over
    a partition into equal batches is the full value. The sum over architectures is exact: the backbone runs once,
    and nothing is sampled. Axes with sites, such as the gates of edges, are listed where the others are enumerated.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.

    Returns:
        A module with the model and the guide as children, so that ``elbo.parameters()`` are all parameters to train.

    Raises:
        ValueError: If ``guide`` is ``None`` for a model with axes, or there are more than 65,536 architectures.
    """
    if model.space.with_sites:
        return ArchitectureELBO(model, guide_or_empty(model, cast(Guide | None, guide)))
    return EnumELBO(model, guide_or_empty(model, None) if guide is None else guide)


def elbo(model: VDSModel, guide: Guide | None = None, *, samples: int | None = None) -> EnumELBO:
    """Return the negative ELBO of a model and a guide as a module, exact or as an estimate from drawn architectures.

    Exact, it is :func:`pyro_vds.enum_elbo`: ``-sum_a q(a) log p(data | a) + KL(q || p)``, nats, with every architecture
    in the sum. With ``samples=S`` the architectures of axes with sites, such as the gates of edges, are drawn from
    ``q`` in each call, ``1/S sum_s``; axes that the network reads out are still summed. The value is then unbiased, and
    so is the gradient: by the score function with the mean of the other draws as baseline (Kool et al. 2019, "Buy 4
    REINFORCE Samples, Get a Baseline for Free!"). The KL term is exact for :class:`pyro_vds.AutoCategorical`.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.
        samples: Number of architectures to draw in each call, at least 2; ``None`` sums over all.

    Returns:
        A module whose attribute ``exact`` says which of both it is.

    Raises:
        ValueError: If there is no guide for a model with axes, more than 65,536 architectures are to be summed, or
            there are no axes with sites to draw.
    """
    if samples is None:
        return enum_elbo(model, guide)
    if not model.space.with_sites:
        raise ValueError(
            f"Expected axes with sites to draw samples of, got {list(model.space)}, which are summed exactly."
        )
    return ArchitectureELBO(model, guide_or_empty(model, guide), samples)

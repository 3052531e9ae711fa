"""Diagnostics of the posterior over depth, on a DataTree of :func:`pyro_vds.to_datatree`.

They read the exact quantities of its group ``depth_posterior``, so they have no Monte Carlo error. With replicates
every result has a dimension ``chain``.

ArviZ's own functions see draws, and a chain is a replicate: ``az.rhat(tree)`` is near 1 and ``az.plot_rank(tree)``
flat where replicates found the same posterior over depth; nothing else can go wrong with independent draws from the
guide. Their limits: one chain only compares the halves of its draws, or nothing; where every draw is the same depth
``az.rhat`` is NaN with a ``RuntimeWarning`` and ``az.plot_rank`` raises; replicates that are certain of different
depths give an R-hat of infinity or about 1e15. :func:`replicate_agreement` is defined in all of these cases.
"""

from pyro_vds.diagnostics.files import load_datatree, save_datatree
from pyro_vds.diagnostics.summaries import (
    depth_log_likelihood,
    depth_probs,
    depth_summary,
    exact_quantities,
    guide_gap,
    replicate_agreement,
)

__all__ = [
    "depth_log_likelihood",
    "depth_probs",
    "depth_summary",
    "exact_quantities",
    "guide_gap",
    "load_datatree",
    "replicate_agreement",
    "save_datatree",
]

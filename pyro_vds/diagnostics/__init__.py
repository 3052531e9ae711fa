"""Diagnostics of the posterior over architectures, on a DataTree of :func:`pyro_vds.to_datatree`.

They read the exact quantities of its group ``architecture``, so they have no Monte Carlo error. With replicates
every result has a dimension ``chain``.

ArviZ's own functions see draws, and a chain is a replicate: ``az.rhat(tree)`` is near 1 and ``az.plot_rank(tree)``
flat where replicates found the same posterior; nothing else can go wrong with independent draws from the guide. Their
limits: one chain only compares the halves of its draws, or nothing; where every draw is the same entry ``az.rhat`` is
NaN with a ``RuntimeWarning`` and ``az.plot_rank`` raises; replicates that are certain of different entries give an
R-hat of infinity or about 1e15. :func:`replicate_agreement` is defined in all of these cases.
"""

from pyro_vds.diagnostics.files import load_datatree, save_datatree
from pyro_vds.diagnostics.quantities import exact_quantities
from pyro_vds.diagnostics.summaries import axis_probs, guide_gap, log_likelihood, replicate_agreement, summary

__all__ = [
    "axis_probs",
    "exact_quantities",
    "guide_gap",
    "load_datatree",
    "log_likelihood",
    "replicate_agreement",
    "save_datatree",
    "summary",
]

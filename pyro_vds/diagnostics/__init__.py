"""Diagnostics of the posterior over architectures, on a DataTree from :func:`pyro_vds.to_datatree`.

They use the exact quantities of its group ``architecture``, and therefore have no Monte Carlo error. With replicates
every result has a dimension ``chain``.

ArviZ's own functions use draws, and a chain is a replicate: if replicates have the same posterior, ``az.rhat(tree)``
is near 1 and ``az.plot_rank(tree)`` is flat. Draws from the guide are independent, so that these functions compare
replicates and nothing else. They have limits: with one chain they compare the halves of its draws, or nothing. If all
draws are the same entry, ``az.rhat`` is NaN with a ``RuntimeWarning`` and ``az.plot_rank`` raises. If replicates are
certain of different entries, R-hat is infinite or about 1e15. :func:`replicate_agreement` is defined in all cases.
"""

from pyro_vds.diagnostics.files import load_datatree, save_datatree
from pyro_vds.diagnostics.names import with_names
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
    "with_names",
]

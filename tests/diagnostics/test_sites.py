"""What reads a table of architectures says what to use for sites."""

import pytest
import sites
import torch

import pyro_vds as vds
from pyro_vds import comparison, diagnostics, plots

OF_TABLES = (
    diagnostics.exact_quantities, diagnostics.guide_gap, diagnostics.summary, diagnostics.axis_probs,
    diagnostics.log_likelihood, diagnostics.replicate_agreement, comparison.held_out_elpd,
    comparison.loo_over_architectures, comparison.stacking_weights, comparison.power_scaled_posterior,
    plots.plot_posterior, plots.plot_prior_to_posterior, plots.plot_log_likelihood, plots.plot_stacking,
    plots.plot_power_scaling,
)  # fmt: skip


@pytest.fixture(scope="module")
def tree():
    torch.set_default_dtype(torch.float64)
    model, guide = sites.dense_model(num_data=30)
    return vds.to_datatree(model, guide, *sites.data(), draws=5)


@pytest.mark.parametrize("function", OF_TABLES, ids=lambda function: function.__name__)
def test_a_tree_of_sites_is_refused_with_what_to_use(function, tree):
    with pytest.raises(
        ValueError,
        match=r"Expected a tree with a table of all architectures.*marginals of \['gate'\].*plots.plot_choices",
    ):
        function(tree)

"""Each row of the table of docs/arviz.md is what ArviZ does."""

import re
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.diagnostics import load_datatree, save_datatree, with_names

DOCS = Path(__file__).resolve().parents[2] / "docs" / "arviz.md"
ROWS = dict(re.findall(r"^\| `az\.(\w+)` \| ([\w ]+) \|", DOCS.read_text(), flags=re.M))
Q = np.array([0.4, 0.001, 0.2, 0.399])
DRAWS = 400


def tree_of(q, seed=0, **options):
    model, guide, x, y = oracles.problem(3)
    with torch.no_grad():
        guide.logits["depth"].copy_(torch.as_tensor(q).log())
    return vds.to_datatree(model, guide, x, y, draws=DRAWS, seed=seed, **options)


@pytest.fixture(scope="module")
def tree():
    torch.set_default_dtype(torch.float64)
    return tree_of(Q)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def shares(tree, group="posterior"):
    return np.bincount(tree[group]["depth"].values.ravel(), minlength=4) / DRAWS


def steps(figure):
    """The first line of a figure of ``depth``."""
    line = figure.get_target("depth", {}).lines[0]
    return line.get_xdata(), line.get_ydata()


def only_depth(function, tree, **options):
    return float(function(tree, var_names=["depth"], **options)["depth"])


def check_summary(tree):
    table, depth = az.summary(tree, kind="stats", round_to="none"), tree["posterior"]["depth"].values
    assert float(table.loc["depth", "mean"]) == pytest.approx(depth.mean())
    assert float(table.loc["depth", "sd"]) == pytest.approx(depth.std(), rel=0.01)


def check_extract(tree):
    assert az.extract(tree).dims == ("sample",)
    assert sorted(set(az.extract(tree).values)) == sorted(set(tree["posterior"]["depth"].values.ravel()))


def check_mean(tree):
    assert only_depth(az.mean, tree, round_to="none") == pytest.approx(shares(tree) @ np.arange(4))


def check_mode(tree):
    assert only_depth(az.mode, tree) == shares(tree).argmax()


def check_mcse(tree):
    expected = tree["posterior"]["depth"].values.std() / np.sqrt(DRAWS)
    assert only_depth(az.mcse, tree) == pytest.approx(expected, rel=0.2)


def check_compare(tree):
    log_p = tree["architecture"]["log_likelihood"].values
    parts = {f"depth {k}": vds.comparison.elpd(log_p[k]) for k in range(4)}
    table = az.compare(parts)
    for name, part in parts.items():
        assert float(table.loc[name, "elpd"]) == pytest.approx(part.elpd, rel=0.05)
    with pytest.raises(ValueError, match="ELPD"):
        az.compare({"a": tree, "b": tree})


def check_plot_dist(tree):
    q = shares(tree)
    bins = {"dist": {"bins": np.arange(5) - 0.5}}
    x, y = steps(az.plot_dist(tree, var_names=["depth"], kind="hist", stats=bins, backend="matplotlib"))
    np.testing.assert_allclose(y[:4], q, atol=1e-9)
    assert len(x) == 5
    x, y = steps(az.plot_dist(tree, var_names=["depth"], kind="ecdf", backend="matplotlib"))
    for depth in range(3):
        assert y[(x > depth + 0.1) & (x < depth + 0.9)] == pytest.approx(q[: depth + 1].sum())
    _, y = steps(az.plot_dist(tree, var_names=["depth"], kind="hist", backend="matplotlib"))
    assert y.max() == pytest.approx(q[2] + q[3])  # the two deepest in one bar
    x, y = steps(az.plot_dist(tree, var_names=["depth"], kind="kde", backend="matplotlib"))
    assert np.interp(2.5, x, y) > 0.01


def check_plot_prior_posterior(tree):
    figure = az.plot_prior_posterior(tree, var_names=["depth"], kind="ecdf", backend="matplotlib")
    found = [np.interp(1.5, *line.get_data()) for line in figure.get_target("depth", {}).lines[:2]]
    assert sorted(found) == pytest.approx(sorted(shares(tree, g)[:2].sum() for g in ("posterior", "prior")))
    bins = {"dist": {"bins": np.arange(5) - 0.5}}
    with pytest.raises(ValueError, match="bins"):
        az.plot_prior_posterior(tree, var_names=["depth"], kind="hist", stats=bins, backend="matplotlib")


def check_plot_ppc_dist(tree):
    with pytest.warns(UserWarning, match="discrete"):
        az.plot_ppc_dist(tree, num_samples=5, backend="matplotlib")
    model = vds.VDSModel(vds.ResidualMLP(2, 1, 4, 2), likelihood=vds.likelihoods.Gaussian(), num_data=9)
    numbers = vds.to_datatree(model, vds.AutoCategorical(model), torch.randn(9, 2), torch.randn(9), draws=20)
    assert "class" not in numbers["observed_data"].coords
    az.plot_ppc_dist(numbers, num_samples=5, backend="matplotlib")  # a warning would be an error


def check_plot_ppc_pava(tree):
    model = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 1), num_data=20)
    x = torch.randn(20, 2)
    two = vds.to_datatree(model, vds.AutoCategorical(model), x, (x[:, 0] > 0).long(), draws=50)
    curve = az.plot_ppc_pava(two, backend="matplotlib").get_target("obs", {}).lines[-1]
    assert ((curve.get_ydata() >= 0) & (curve.get_ydata() <= 1)).all()


def check_hdi(tree):
    low, high = az.hdi(tree, prob=0.9)["depth"].values
    assert (low, high) == (0, 3)
    assert shares(tree)[1] < 0.01


def check_eti(tree):
    low, high = az.eti(tree, prob=0.3)["depth"].values.astype(int)
    assert shares(tree)[low : high + 1].sum() >= 0.3
    assert (low, high) == (0, 3)


def check_ess(tree):
    for other in (tree, tree_of([0.25] * 4)):
        assert only_depth(az.ess, other) == pytest.approx(DRAWS, rel=0.3)


def check_rhat(tree):
    assert np.isnan(only_depth(az.rhat, tree))
    same = vds.as_chains([tree, tree_of(Q, seed=1)])
    other = vds.as_chains([tree, tree_of([0.01, 0.01, 0.01, 0.97], seed=1)])
    assert only_depth(az.rhat, same) < 1.02
    assert only_depth(az.rhat, other) > 1.2


def check_plot_rank(tree):
    with pytest.raises(ValueError, match="2 chains"):
        az.plot_rank(tree, backend="matplotlib")
    az.plot_rank(vds.as_chains([tree, tree_of(Q, seed=1)]), backend="matplotlib")


def check_histogram(tree):
    found = az.histogram(tree)["depth"].sel(plot_axis="histogram").values
    assert found[-1] == pytest.approx(shares(tree)[-2:].sum())


def check_kde(tree):
    x, y = az.kde(tree)["depth"].values
    assert np.interp(2.5, x, y) > 0.01


def check_bayes_factor(tree):
    found = float(az.bayes_factor(tree, var_names=["depth"], ref_vals=2)["depth"].sel(bf_type="BF01"))
    exact = float(np.exp(tree["architecture"]["log_q"] - tree["architecture"]["log_prior"])[2])
    assert abs(found / exact - 1) > 0.1


def raises(function):
    def check(tree):
        with pytest.raises(ValueError, match="tail"):
            function(tree)

    return check


def check_plot_loo_pit(tree):
    raises(lambda t: az.plot_loo_pit(t, backend="matplotlib"))(tree)


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}
CHECKS |= {name: raises(getattr(az, name)) for name in ("loo", "loo_pit", "loo_metrics", "psense", "psense_summary")}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table_is_what_arviz_does(tree, name):
    CHECKS[name](tree)


def test_every_row_has_a_check():
    assert set(ROWS) == set(CHECKS)
    assert set(ROWS.values()) == {"right", "with care", "misleads", "raises"}


def test_depths_are_their_labels(tree):
    assert tree["posterior"]["depth"].dims == ("chain", "draw")
    model = vds.VDSModel(vds.WithWidths(vds.ResidualMLP(2, 2, 8, 1), (2, 8)), num_data=6)
    x, y = torch.randn(6, 2), torch.randint(0, 2, (6,))
    widths = vds.to_datatree(model, vds.AutoCategorical(model), x, y, draws=30)
    assert set(widths["posterior"]["width"].values.ravel()) == {2, 8}
    log_prior = widths["log_prior"]["width"].values
    table = model.prior_logits("width").exp().numpy()
    np.testing.assert_allclose(np.exp(log_prior), np.where(widths["posterior"]["width"] == 2, *table))


def test_log_prior_and_prior_predictive_are_those_of_the_prior(tree):
    model, _, x, _ = oracles.problem(3)
    prior = oracles.prior(0.7, 4).numpy()
    drawn = tree["posterior"]["depth"].values
    np.testing.assert_allclose(tree["log_prior"]["depth"], np.log(prior)[drawn])
    np.testing.assert_allclose(shares(tree, "prior"), prior, atol=0.08)
    probs = oracles.outputs(model.backbone.eval(), x).softmax(-1).detach().numpy()
    draws = tree["prior_predictive"]["obs"].values[0]
    found = np.stack([(draws == c).mean(0) for c in range(3)], -1)
    np.testing.assert_allclose(found, np.einsum("d,dnc->nc", shares(tree, "prior"), probs), atol=0.1)


def test_classes_and_features_have_names(tree, tmp_path):
    assert tree["observed_data"]["class"].values.tolist() == [0, 1, 2]
    named = with_names(tree, {"class": ["cat", "dog", "cow"], "feature_0": ["age", "height"]})
    save_datatree(named, tmp_path / "named.nc")
    named = load_datatree(tmp_path / "named.nc")
    observed = named["observed_data"].dataset
    labels = oracles.problem(3)[3]
    assert observed["class"][observed["obs"]].values.tolist() == [["cat", "dog", "cow"][k] for k in labels]
    assert set(named["posterior_predictive"]["class"].values) == {"cat", "dog", "cow"}
    ages = named["constant_data"]["x"].sel(feature_0="age")
    np.testing.assert_array_equal(ages, oracles.problem(3)[2][:, 0])


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("names", "message"),
    [({"class": ["cat"]}, "Expected 3 names for class, got 1"), ({"colour": ["red"]}, "Expected names of dimensions")],
)
def test_names_that_do_not_fit_are_refused(tree, names, message):
    with pytest.raises(ValueError, match=message):
        with_names(tree, names)

"""The estimators pass scikit-learn's own checks, work with its tools, and predict the mixture over depths."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_moons, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import pyro_vds as vds
from tests import oracles

SMALL = {"max_depth": 2, "width": 8, "max_epochs": 4, "random_state": 0}


@pytest.fixture(scope="module")
def moons():
    return make_moons(160, noise=0.2, random_state=0)


@pytest.fixture(scope="module")
def numbers():
    return make_regression(80, 4, n_targets=2, noise=5.0, random_state=0)


def read_outs(estimator, X):
    """The outputs of each depth by a pass of its own, ``(depth, batch, output)``, and the guide's weights."""
    with torch.no_grad():
        outputs = oracles.outputs(estimator.model_.backbone, torch.tensor(X)).numpy()
    logits = estimator.guide_.logits["depth"].detach().numpy()
    return outputs, softmax(logits)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "estimator",
    [
        vds.VDSClassifier(max_depth=1, max_epochs=3),
        vds.VDSRegressor(max_depth=1, max_epochs=6, lr=0.05, preset="recipe", early_stopping=False),
    ],
)
def test_every_check_of_scikit_learn_passes(estimator):
    results = check_estimator(estimator, on_skip=None)
    assert len(results) >= 50
    # That one needs an environment variable of SciPy's before the process starts, and passes with it.
    assert {r["check_name"] for r in results if r["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.usefixtures("float32")
def test_probabilities_are_the_mixture_over_depths(moons):
    X, y = moons
    names = np.array(["outer", "inner"])
    estimator = vds.VDSClassifier(**SMALL).fit(X, names[y])
    outputs, q = read_outs(estimator, X)
    expected = (q[:, None, None] * softmax(outputs, axis=-1)).sum(0)
    np.testing.assert_allclose(estimator.predict_proba(X), expected, rtol=1e-10)
    np.testing.assert_allclose(estimator.predict_log_proba(X), np.log(expected), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(estimator.classes_, ["inner", "outer"])
    np.testing.assert_array_equal(estimator.predict(X), np.array(["inner", "outer"])[expected.argmax(-1)])
    np.testing.assert_allclose(estimator.depth_probs_, q, rtol=1e-10)
    assert estimator.depth_ == vds.choose_depth(q)
    assert estimator.n_iter_ == len(estimator.history_) == 4
    direct = vds.predict_proba(estimator.model_, estimator.guide_, torch.tensor(X))  # inputs as they came
    np.testing.assert_allclose(direct.numpy(), expected, rtol=1e-10)


def test_log_probabilities_do_not_saturate(moons):
    X, y = moons
    estimator = vds.VDSClassifier(**SMALL).fit(X, y)
    with torch.no_grad():
        estimator.model_.backbone.head.weight.mul_(1e5)
    outputs, q = read_outs(estimator, X)
    expected = np.logaddexp.reduce(np.log(q)[:, None, None] + log_softmax(outputs, axis=-1), axis=0)
    assert expected.min() < -1000
    np.testing.assert_allclose(estimator.predict_log_proba(X), expected, rtol=1e-6, atol=1e-12)


def test_mean_and_deviation_are_those_of_the_mixture_in_the_units_of_the_targets(numbers):
    X, y = numbers
    estimator = vds.VDSRegressor(**SMALL, early_stopping=False).fit(X, y)
    outputs, q = read_outs(estimator, X)
    weights = q[:, None, None]
    mean = (weights * outputs).sum(0)
    scale = estimator.model_.likelihood.scale.detach().numpy()
    variance = (weights * (outputs**2 + scale**2)).sum(0) - mean**2
    predicted, std = estimator.predict(X, return_std=True)
    np.testing.assert_allclose(predicted, mean * y.std(0) + y.mean(0), rtol=1e-9)
    np.testing.assert_allclose(std, np.sqrt(variance) * y.std(0), rtol=1e-7)
    np.testing.assert_array_equal(estimator.predict(X), predicted)
    single = vds.VDSRegressor(**SMALL).fit(X, y[:, 0])
    assert [part.shape for part in single.predict(X, return_std=True)] == [(80,), (80,)]


def test_units_of_inputs_and_targets_do_not_matter(numbers):
    X, y = numbers
    plain = vds.VDSRegressor(**SMALL).fit(X, y)
    scaled = vds.VDSRegressor(**SMALL).fit(1e3 * X + 1e6, 50 * y - 7)
    for ours, theirs, shift in zip(
        scaled.predict(1e3 * X + 1e6, return_std=True), plain.predict(X, return_std=True), (-7, 0), strict=True
    ):
        np.testing.assert_allclose(ours, 50 * theirs + shift, rtol=1e-5)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_data_give_the_precision(moons, dtype):
    X, y = moons
    estimator = vds.VDSClassifier(**SMALL).fit(X.astype(dtype), y)
    assert estimator.predict_proba(X).dtype == dtype
    assert {p.dtype for p in estimator.model_.parameters()} == {torch.tensor(X.astype(dtype)).dtype}


@pytest.mark.filterwarnings("default")
def test_a_grid_over_priors_in_a_pipeline(moons):
    X, y = moons
    priors = [vds.priors.Uniform(), vds.priors.Geometric(0.1), None]
    pipeline = make_pipeline(StandardScaler(), vds.VDSClassifier(**SMALL))
    search = GridSearchCV(pipeline, {"vdsclassifier__prior": priors}, cv=2, error_score="raise").fit(X, y)
    assert [how["vdsclassifier__prior"] for how in search.cv_results_["params"]] == priors
    for prior in priors:
        copied = clone(pipeline).set_params(vdsclassifier__prior=prior).fit(X, y)[-1]
        expected = oracles.prior(0.85, 3) if prior is None else prior(3).probs
        torch.testing.assert_close(copied.model_.prior("depth").probs, expected)


@pytest.mark.filterwarnings("default")
def test_cross_validation_and_calibration_with_labels_and_names():
    pandas = pytest.importorskip("pandas")
    data = load_iris()
    X, y = pandas.DataFrame(data.data, columns=data.feature_names), data.target_names[data.target]
    estimator = vds.VDSClassifier(max_depth=1, max_epochs=8, batch_size=16, random_state=0)
    assert cross_val_score(estimator, X, y, cv=2).min() > 0.85
    calibrated = CalibratedClassifierCV(estimator, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)
    assert calibrated.score(X, y) > 0.9
    inner = calibrated.calibrated_classifiers_[0].estimator
    np.testing.assert_array_equal(inner.feature_names_in_, data.feature_names)
    with pytest.raises(ValueError, match="feature names"):
        inner.predict(X.rename(columns={"petal width (cm)": "other"}))


def test_a_random_state_decides_everything_and_touches_no_global_generator(moons):
    X, y = moons
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (vds.VDSClassifier(**SMALL, early_stopping=True).fit(X, y) for _ in range(2))
    other = vds.VDSClassifier(**SMALL | {"random_state": np.random.RandomState(1)}).fit(X, y)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert not np.allclose(first.predict_proba(X), other.predict_proba(X))
    restored = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(first.predict_proba(X), restored.predict_proba(X))


def test_threads_fit_as_one_alone_does(moons):
    X, y = moons
    estimators = [vds.VDSClassifier(**SMALL | {"random_state": seed}) for seed in range(2)]
    alone = [copy.deepcopy(estimator).fit(X, y).predict_proba(X) for estimator in estimators]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda estimator: estimator.fit(X, y).predict_proba(X), estimators))
    np.testing.assert_array_equal(alone, together)


def test_early_stopping_holds_data_out(moons):
    X, y = moons
    how = SMALL | {"max_epochs": 60, "lr": 0.5, "preset": "paper", "patience": 3}
    estimator = vds.VDSClassifier(**how, early_stopping=True, validation_fraction=0.25).fit(X, y)
    assert estimator.model_.num_data == 120
    assert estimator.history_.stopped == "patience"
    log_prob = estimator.history_.validation["log_prob"]
    assert estimator.history_.best_epoch == int(log_prob.argmax()) == estimator.n_iter_ - 4
    assert not vds.VDSClassifier(**SMALL).fit(X, y).history_.validation


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "best"}, "Expected preset 'recipe' or 'paper', got 'best'"),
        ({"max_depth": -1}, "max_depth"),
        ({"lr": -1.0}, "lr"),
        ({"max_epochs": 0}, "max_epochs"),
    ],
)
def test_arguments_out_of_range_are_refused_in_fit(moons, wrong, message):
    with pytest.raises(ValueError, match=message):
        vds.VDSClassifier(**SMALL | wrong).fit(*moons)


def test_prediction_needs_a_fit(moons):
    with pytest.raises(NotFittedError):
        vds.VDSRegressor().predict(moons[0])

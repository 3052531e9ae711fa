"""Priors against their formulas."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from pyro_vds import priors
from pyro_vds.priors.base import as_categorical

EXAMPLES = [
    priors.Geometric(decay=0.85),
    priors.Uniform(),
    priors.Poisson(rate=6.0),
    priors.NegativeBinomial(total_count=3.0, probs=0.4),
    priors.Weights(probs=(0.1, 0.2, 0.3, 0.4)),
    priors.Cost(costs=(0.0, 1.0, 2.0, 3.5), strength=0.5),
    priors.Dirichlet(concentration=(0.5, 1.0, 1.5, 2.0)),
]
HIERARCHICAL = priors.Hierarchical(
    prior=priors.Geometric(decay=0.85), parameter="decay", hyperprior=priors.Beta(a=2.0, b=3.0)
)
FORMULAS = [
    lambda i: 0.85 ** (1 + i),
    lambda i: 1.0,
    lambda i: 6.0**i / math.factorial(i),
    lambda i: math.comb(i + 2, i) * 0.4**i,
    lambda i: [0.1, 0.2, 0.3, 0.4][i],
    lambda i: math.exp(-0.5 * [0.0, 1.0, 2.0, 3.5][i]),
    lambda i: 1 + i,
]


@pytest.mark.parametrize(("prior", "formula"), list(zip(EXAMPLES, FORMULAS, strict=True)), ids=repr)
def test_probabilities_follow_the_formula(prior, formula):
    weights = torch.tensor([formula(i) for i in range(4)])
    torch.testing.assert_close(prior(4).probs, weights / weights.sum())


@pytest.mark.parametrize("prior", [*EXAMPLES, HIERARCHICAL], ids=repr)
def test_repr_round_trips(prior):
    assert priors.parse(repr(prior)) == prior
    assert priors.parse(str(prior)) == prior


@pytest.mark.parametrize("prior", EXAMPLES, ids=repr)
def test_priors_are_immutable_and_hashable(prior):
    assert hash(prior) == hash(priors.parse(repr(prior)))
    with pytest.raises(AttributeError):
        prior.decay = 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: priors.Geometric(1), "Geometric(decay=1.0)"),
        (lambda: priors.Poisson(torch.tensor(6)), "Poisson(rate=6.0)"),
        (lambda: priors.NegativeBinomial(np.int64(3), np.float32(0.5)), "NegativeBinomial(total_count=3.0, probs=0.5)"),
        (lambda: priors.Weights(np.array([0.5, 0.5])), "Weights(probs=(0.5, 0.5))"),
        (lambda: priors.Weights(torch.tensor([0.5, 0.5])), "Weights(probs=(0.5, 0.5))"),
        (lambda: priors.Cost(range(3), np.float64(2)), "Cost(costs=(0.0, 1.0, 2.0), strength=2.0)"),
    ],
)
def test_numbers_of_any_kind_are_kept_as_floats(as_a_user, make, text):
    assert repr(make()) == text
    assert repr(priors.parse(text)) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: priors.Geometric("0.5"), "Expected a number as decay, got '0.5'"),
        (lambda: priors.Poisson("a"), "Expected a number as rate, got 'a'"),
        (lambda: priors.Poisson(None), "Expected a number as rate, got None"),
        (lambda: priors.Poisson(torch.ones(2)), "Expected a number as rate, got tensor"),
        (lambda: priors.NegativeBinomial(1.0, [0.5]), r"Expected a number as probs, got \[0.5\]"),
        (lambda: priors.Weights("abc"), "Expected a number as probs, got 'a'"),
        (lambda: priors.Weights(1.0), "Expected a sequence of numbers as probs, got 1.0"),
        (lambda: priors.Cost(("a",), 1.0), "Expected a number as costs, got 'a'"),
        (lambda: priors.Cost((1.0,), strength="x"), "Expected a number as strength, got 'x'"),
        (lambda: priors.parse("Poisson(rate='a')"), "Expected a number as rate, got 'a'"),
    ],
)
def test_what_is_not_a_number_is_refused(as_a_user, make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_probabilities_are_float64_whatever_the_default():
    torch.set_default_dtype(torch.float32)
    dtype = priors.Poisson(3.0)(5).probs.dtype
    torch.set_default_dtype(torch.float64)
    assert dtype == torch.float64


def test_far_tail_keeps_finite_log_mass():
    assert torch.isfinite(priors.Poisson(0.01)(101).logits).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: priors.Geometric(0.0), "0 < decay <= 1, got decay=0.0"),
        (lambda: priors.Geometric(1.5), "0 < decay <= 1, got decay=1.5"),
        (lambda: priors.Geometric(math.nan), "0 < decay <= 1, got decay=nan"),
        (lambda: priors.Poisson(-1.0), "positive, finite rate, got rate=-1.0"),
        (lambda: priors.Poisson(math.inf), "positive, finite rate"),
        (lambda: priors.NegativeBinomial(0.0, 0.5), "positive, finite total_count"),
        (lambda: priors.NegativeBinomial(1.0, 1.0), "0 < probs < 1, got probs=1.0"),
        (lambda: priors.Weights((0.5, 0.4)), "sum to one, got a sum of 0.9"),
        (lambda: priors.Weights((0.5, 0.6)), "sum to one, got a sum of 1.1"),
        (lambda: priors.Weights((1.5, -0.5)), "Expected positive prior probabilities"),
        (lambda: priors.Weights((1.0, 0.0)), "build the network without it"),
        (lambda: priors.Weights((math.nan, 1.0)), "Expected positive prior probabilities"),
        (lambda: priors.Cost((1.0, -1.0), 1.0), "Expected one or more costs .*, all finite and not negative"),
        (lambda: priors.Cost((1.0,), -1.0), "Expected one or more costs .*, all finite and not negative"),
        (lambda: priors.Cost((), 1.0), "Expected one or more costs"),
        (lambda: priors.Weights((0.5, 0.5))(3), "Expected 3 probs, one for each entry of the axis"),
        (lambda: priors.Cost((0.0, 1.0), 1.0)(3), "Expected 3 costs"),
        (lambda: priors.Uniform()(0), "at least one entry, got size=0"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    "text", ["Poisson", "Poisson(6)", "Nope(rate=1)", "Poisson(rate=__import__('os'))", "1 + 1", "Poisson(rate=1", ""]
)
def test_parse_refuses_anything_else_without_running_it(text):
    with pytest.raises(ValueError, match="Expected a prior such as"):
        priors.parse(text)


def test_parse_names_an_unknown_argument():
    with pytest.raises(ValueError, match="Poisson has no argument speed"):
        priors.parse("Poisson(rate=1.0, speed=2)")


@pytest.mark.parametrize(
    ("text", "missing"), [("Poisson()", "Poisson needs rate"), ("Cost()", "Cost needs costs, strength")]
)
def test_parse_names_a_missing_argument(text, missing):
    with pytest.raises(ValueError, match=f"Expected a prior such as .*{missing}"):
        priors.parse(text)


def test_parse_leaves_out_what_has_a_default():
    assert priors.parse("Geometric()") == priors.Geometric(0.85)


def test_any_categorical_of_the_right_size_is_accepted():
    probs = torch.tensor([0.2, 0.3, 0.5])
    for source in (dist.Categorical(probs=probs), torch.distributions.Categorical(probs=probs)):
        torch.testing.assert_close(as_categorical(source, 3, "depth").probs, probs)


@pytest.mark.parametrize(
    ("prior", "kind", "message"),
    [
        (dist.Categorical(probs=torch.ones(3)), ValueError, "Expected a prior of 4 probabilities for axis 'depth'"),
        (dist.Categorical(probs=torch.ones(2, 4)), ValueError, "got shape"),
        (dist.Categorical(probs=torch.tensor([1.0, 0.0, 1.0, 1.0])), ValueError, "positive prior probabilities"),
        (dist.Normal(0.0, 1.0), TypeError, "from pyro_vds.priors, or a pyro.distributions.Categorical; got Normal"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_other_distributions_are_refused(prior, kind, message):
    with pytest.raises(kind, match=message):
        as_categorical(prior, 4, "depth")

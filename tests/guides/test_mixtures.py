"""Mixtures of products against sums over all architectures, and what the generator can and cannot be."""

import itertools
import math

import pyro
import pytest
import torch

from pyro_vds import dependence
from pyro_vds.guides.mixtures import GeneratedMixture, ProductMixture, SiteDistribution

SITES, OPTIONS = 3, 4
MAKERS = {
    "one product": lambda: ProductMixture(SITES, OPTIONS, 1),
    "mixture": lambda: ProductMixture(SITES, OPTIONS, 5),
    "generator": lambda: GeneratedMixture(SITES, OPTIONS, 1),
    "generator of several": lambda: GeneratedMixture(SITES, OPTIONS, 5),
    "generator with noise": lambda: GeneratedMixture(SITES, OPTIONS, 1, noise=1.0, noise_draws=7),
    "generator of one block": lambda: GeneratedMixture(SITES, OPTIONS, 3, hidden=()),
}
ARCHITECTURES = torch.tensor(list(itertools.product(range(OPTIONS), repeat=SITES)))


@pytest.fixture(params=MAKERS)
def distribution(request) -> SiteDistribution:
    made = MAKERS[request.param]()
    if isinstance(made, ProductMixture):
        torch.nn.init.normal_(made.weight_logits)
    return made


def joint(distribution):
    return distribution.joint_log_probs().exp().view((OPTIONS,) * SITES)


def test_log_prob_is_a_sum_over_products(distribution):
    rows, weights = distribution.rows().exp().tolist(), distribution.log_weights().exp().tolist()
    expected = []
    for a in ARCHITECTURES.tolist():
        products = [math.prod(row[e][o] for e, o in enumerate(a)) for row in rows]
        expected.append(math.log(sum(w * p for w, p in zip(weights, products, strict=True))))
    torch.testing.assert_close(distribution.log_prob(ARCHITECTURES), torch.tensor(expected))


def test_it_is_a_site_of_pyro(distribution):
    def guide():
        return pyro.sample("op", distribution.distribution())

    site = pyro.poutine.trace(guide).get_trace().nodes["op"]
    assert site["value"].shape == (SITES,)
    expected = distribution.log_prob(site["value"][None])[0]
    torch.testing.assert_close(site["fn"].log_prob(site["value"]), expected)
    given = pyro.poutine.condition(guide, {"op": ARCHITECTURES[5]})
    log_prob = pyro.poutine.trace(given).get_trace().log_prob_sum()
    torch.testing.assert_close(log_prob, distribution.joint_log_probs()[5])


def test_the_table_is_each_log_prob_with_the_last_site_fastest(distribution):
    torch.testing.assert_close(distribution.joint_log_probs(), distribution.log_prob(ARCHITECTURES))
    torch.testing.assert_close(distribution.joint_log_probs().exp().sum(), torch.ones(()))


def test_marginals_are_those_of_the_table(distribution):
    for found, expected in zip(distribution.probs(), dependence.marginals(joint(distribution)), strict=True):
        torch.testing.assert_close(found, torch.from_numpy(expected))


def test_gradients_of_table_and_draws_are_the_same(distribution):
    weights = torch.randn(len(ARCHITECTURES))
    values = (distribution.joint_log_probs(), distribution.log_prob(ARCHITECTURES))
    one, other = (torch.autograd.grad(v @ weights, list(distribution.parameters())) for v in values)
    torch.testing.assert_close(one, other)


def test_draws_have_the_probabilities_of_the_table(distribution):
    """Pearson's statistic of 20,000 draws is within five standard deviations of its mean."""
    draws = distribution.sample(20_000, torch.Generator().manual_seed(1))
    q = distribution.joint_log_probs().detach().exp()
    strides = OPTIONS ** torch.arange(SITES - 1, -1, -1)
    counts = torch.bincount((draws * strides).sum(1), minlength=len(q))
    statistic = float(((counts - len(draws) * q) ** 2 / (len(draws) * q)).sum())
    assert statistic < len(q) - 1 + 5 * math.sqrt(2 * (len(q) - 1))
    assert torch.equal(draws, distribution.sample(20_000, torch.Generator().manual_seed(1)))


def test_q_is_the_same_in_train_and_eval_mode(distribution):
    torch.testing.assert_close(distribution.train().rows(), distribution.eval().rows(), rtol=0, atol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_has_the_noise_too(name):
    one, other = MAKERS[name](), MAKERS[name]()
    assert not torch.allclose(one.rows(), other.rows())
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.joint_log_probs(), one.joint_log_probs(), rtol=0, atol=0)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_generator_with_one_input_is_mean_field(noise):
    """VIM-NAS as its algorithm is written down has independent edges; with several inputs they are dependent."""
    one = GeneratedMixture(SITES, OPTIONS, 1, noise=noise)
    assert dependence.total_correlation(joint(one)) == pytest.approx(0, abs=1e-12)
    several = GeneratedMixture(SITES, OPTIONS, 16, noise=noise)
    assert dependence.total_correlation(joint(several)) > 0.01


def test_the_generator_is_the_network_of_the_paper():
    one, sixteen = (GeneratedMixture(6, 5, inputs) for inputs in (1, 16))
    assert [sum(p.numel() for p in g.parameters()) for g in (one, sixteen)] == [549, 549]
    names = [type(layer).__name__ for layer in sixteen.network]
    assert names == ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d", "BatchNorm2d"]
    logits = sixteen.network(sixteen.inputs).detach()
    assert float(logits.std(correction=0)) == pytest.approx(1, abs=1e-3)  # batch norm over all maps


def test_noise_is_averaged_over_its_draws():
    made = GeneratedMixture(SITES, OPTIONS, 2, noise=2.0, noise_draws=5)
    (logits,) = (made.network(made.inputs)[:, 0],)
    expected = torch.stack([(logits + xi).softmax(-1) for xi in made.xi]).mean(0)
    torch.testing.assert_close(made.rows().exp(), expected)


def test_many_sites_have_log_probs_but_no_table():
    made = ProductMixture(40, 2, 3)
    assert bool(made.log_prob(made.sample(5)).isfinite().all())
    with pytest.raises(ValueError, match=r"at most \d+,\d+ architectures for a table, got 1,099,511,627,776. Use"):
        made.joint_log_probs()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProductMixture(0, 2, 1), "a positive number of sites, got 0"),
        (lambda: ProductMixture(2, 0, 1), "a positive number of options, got 0"),
        (lambda: ProductMixture(2, 2, 0), "a positive number of components, got 0"),
        (lambda: GeneratedMixture(2, 2, 0), "a positive number of inputs, got 0"),
        (lambda: GeneratedMixture(2, 2, 1, noise=-1.0), "a finite noise of at least 0, got -1.0"),
        (lambda: GeneratedMixture(2, 2, 1, noise=1.0, noise_draws=0), "a positive number of noise_draws, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""The claims about lesions: a good and a bad control for each rule, and the experiment in its tiny form."""

import numpy as np
import pytest
import torch

from experiments import lesions
from experiments.claims import lesions as rules
from experiments.engine.lesioned import StochasticDepth, build_network
from experiments.engine.results import find_scan
from experiments.engine.small_images import small_images
from experiments.figures.lesions import figure_lesions
from pyro_vds import sweeps


def result(network="plain", seed=0, epochs=6, **parts):
    """A result with shares of errors, in the last read-out and, with learnt depth, the marginal alike."""
    names = ("last", "marginal") if network == "learnt" else ("last",)
    content = {"settings": {"network": network, "seed": seed, "max_epochs": epochs}}
    given = {"intact": 0.05, "single": [0.05] * 4, "deleted": [0.05, 0.2, 0.35, 0.5, 0.65]} | parts
    for name, values in given.items():
        of_errors = name in ("intact", "single", "deleted", "reordered")
        content[name] = {one: {"error": values} for one in names} if of_errors else values
    return content


@pytest.mark.parametrize(
    ("single", "verdict"),
    [
        ([0.5, 0.06, 0.05, 0.05, 0.05], "holds"),
        ([0.5, 0.08, 0.08, 0.08, 0.08], "holds in part"),
        ([0.5, 0.5, 0.08, 0.08, 0.08], "does not hold"),
    ],
)
def test_a_block_is_harmless_if_it_costs_a_point(single, verdict):
    text, found = rules.one_block_is_harmless([result(single=single)])
    assert found == verdict
    assert f"block 1 to 5 deleted {', '.join(f'{100 * e:.1f}' for e in single)} %" in text


@pytest.mark.parametrize(
    ("single", "verdict"),
    [([0.8, 0.95], "holds"), ([0.75, 0.95], "holds in part"), ([0.2, 0.95], "does not hold")],
)
def test_without_skips_chance_is_left(single, verdict):
    assert rules.no_skips_no_layer([result("no_skips", single=single)])[1] == verdict


def test_smooth_is_a_rise_without_a_jump():
    steady, jump, fall = [0.0, 0.2, 0.4, 0.6], [0.0, 0.0, 0.6, 0.6], [0.0, 0.3, 0.2, 0.6]
    learnt = result("learnt")

    def verdict(*curves):
        return rules.smooth_in_deletions([learnt, *(result(seed=i, deleted=c) for i, c in enumerate(curves))])[1]

    assert verdict(steady, steady) == "holds"
    assert verdict(steady, jump) == "holds in part"
    assert verdict(fall, jump) == "does not hold"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [([0.1, 0.2, 0.3, 0.4], "holds"), ([0.1, 0.3, 0.4, 0.2], "does not hold"), ([0.2, 0.1, 0.4, 0.3], "holds in part")],
)
def test_reorderings_are_judged_by_the_rank_correlation(error, verdict):
    networks = ("plain", "learnt", "stochastic_depth")
    found = [result(name, tau=[0.9, 0.5, 0.2, -0.3], reordered=error) for name in networks]
    assert rules.smooth_in_reorderings(found)[1] == verdict


def test_decay_is_exponential_if_its_logarithm_is_a_line():
    line, bent = result(path_gradient=[4.0, 2.0, 1.0, 0.5]), result(seed=1, path_gradient=[4.0, 4.0, 4.0, 0.1])
    assert rules.exponential_in_length([line])[1] == "holds"
    assert "by a factor of 2.0 ± 0.0" in rules.exponential_in_length([line])[0]
    assert rules.exponential_in_length([line, bent])[1] == "holds in part"
    assert rules.exponential_in_length([bent])[1] == "does not hold"


@pytest.mark.parametrize(("factor", "verdict"), [(0.01, "holds"), (0.4, "holds in part"), (1.0, "does not hold")])
def test_short_paths_are_fewer_than_half(factor, verdict):
    assert rules.short_paths_carry_the_gradient([result(path_gradient=[factor**k for k in range(11)])])[1] == verdict


def test_effective_paths_are_counted_from_the_shortest():
    """1, 3, 3 and 1 paths with norms 1, 3, 9 and 0 have the shares 1, 9, 27 and 0 of 37."""
    longest, mean, share = rules.effective_paths([1.0, 3.0, 9.0, 0.0])
    assert (longest, share) == (2, 7 / 8)
    assert mean == pytest.approx((9 + 2 * 27) / 37)


def test_stochastic_depth_is_compared_with_both_plain_networks():
    def costs(stochastic, plain, longer):
        cases = (("stochastic_depth", 18, stochastic), ("plain", 6, plain), ("plain", 18, longer))
        return [result(name, epochs=e, deleted=[0.05, *[c] * 5]) for name, e, c in cases]

    assert rules.stochastic_depth_resists(costs(0.2, 0.3, 0.3))[1] == "holds"
    assert rules.stochastic_depth_resists(costs(0.2, 0.3, 0.1))[1] == "does not hold"
    mixed = costs(0.2, 0.5, 0.5) + [r | {"settings": r["settings"] | {"seed": 1}} for r in costs(0.3, 0.25, 0.3)]
    assert rules.stochastic_depth_resists(mixed)[1] == "holds in part"


def learnt(single, after, seed=0):
    prefix = {"error": [0.9, 0.5, after, 0.05, 0.05]}
    mass = [1.0, 0.9, 0.3, 0.1]
    return result("learnt", seed, single=single, mass_above=mass, chosen_depth=2, prefix=prefix)


def test_the_posterior_predicts_lesions_if_mass_and_damage_agree():
    agree, other, plain = [0.5, 0.3, 0.06, 0.05], [0.05, 0.06, 0.3, 0.5], result(single=[0.4, 0.3, 0.2, 0.1])
    assert rules.posterior_predicts_lesions([learnt(agree, 0.055), plain])[1] == "holds"
    assert rules.posterior_predicts_lesions([learnt(agree, 0.2), plain])[1] == "holds in part"
    assert rules.posterior_predicts_lesions([learnt(other, 0.05), plain])[1] == "holds in part"
    assert rules.posterior_predicts_lesions([learnt(other, 0.2), plain])[1] == "does not hold"
    text = rules.posterior_predicts_lesions([learnt(agree, 0.055), plain])[0]
    assert "rank correlation 1.00 ± 0.00 (plain network, by the number of the block: 1.00 ± 0.00)" in text
    assert "the chosen depth (2) deleted cost 0.50 ± 0.00 points, at most 0.5, the worst one" in text
    assert "of the 2 blocks up to it 2 cost more than a point" in text


def test_plain_networks_need_blocks_above_the_chosen_depth():
    ours, spread_out = learnt([0.5, 0.3, 0.06, 0.05], 0.05), [0.2, 0.2, 0.2, 0.2]
    assert rules.plain_networks_use_every_block([ours, result(single=spread_out)])[1] == "holds"
    assert rules.plain_networks_use_every_block([ours, result(single=[0.9, 0.9, 0.05, 0.05])])[1] == "does not hold"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "lesions"
    resources = sweeps.Resources(torch.device("cpu"))
    list(sweeps.run(lesions.SCAN.tiny, lesions.SCAN.measure, folder, resources, find_scan=find_scan))
    return sweeps.results(lesions.SCAN.tiny, folder)


def test_the_tiny_form_is_judged_and_drawn(tiny):
    for claim in rules.LESION_CLAIMS:
        text, verdict = claim.judge(tiny)
        assert verdict in ("holds", "holds in part", "does not hold")
        assert "nan" not in text
    axes = figure_lesions(tiny)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)
    assert figure_lesions(tiny, axes) == axes
    with pytest.raises(ValueError, match="Expected results of lesions, got none"):
        figure_lesions([])


def test_parts_of_a_result_agree_with_each_other(tiny):
    for one in tiny:
        for name in one["intact"]:
            errors = one["deleted"][name]["error"]
            assert errors[0] == pytest.approx(one["intact"][name]["error"])
            assert errors[1] == pytest.approx(np.mean(one["single"][name]["error"]))
        whole = one["intact"][rules.last(one)]
        assert one["prefix"]["error"][-1] == pytest.approx(whole["error"])
        assert one["prefix"]["log_likelihood"][-1] == pytest.approx(whole["log_likelihood"], rel=1e-5)
        assert all(one["exact"])


def test_stochastic_depth_is_a_mean_of_its_branch():
    torch.manual_seed(0)
    block = StochasticDepth(torch.nn.Linear(3, 3), 0.75)
    x = torch.randn(2, 3)
    kept = [bool(block(x).any()) for _ in range(2000)]
    assert np.mean(kept) == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(block.eval()(x), 0.75 * block.branch(x))


def test_networks_differ_as_their_names_say():
    x = torch.randn(3, 1, 8, 8)
    kinds = ("learnt", "plain", "stochastic_depth", "no_skips")
    learnt, plain, stochastic, chain = (build_network(kind, 2, 4, x, seed=1).eval() for kind in kinds)
    torch.testing.assert_close(stochastic.blocks[1].branch.state_dict(), plain.blocks[1].state_dict())
    assert [block.p for block in stochastic.blocks] == [0.75, 0.5]
    assert learnt(x).shape == (3, 3, 10)
    activations = plain.stem(x)
    for block in plain.blocks:
        activations = block(activations)
    torch.testing.assert_close(chain(x), plain.head(plain.pool(activations)))
    with pytest.raises(ValueError, match="Expected a network of learnt, plain.*got 'deep'"):
        build_network("deep", 2, 4, x, seed=1)


def test_the_data_are_as_many_as_asked_for(shared_data):
    data = small_images("mnist", str(shared_data), 0, validation=0.0, train_size=50, test_size=20)
    assert (len(data.train[0]), len(data.test[0]), data.validation) == (50, 20, None)
    assert data.train[0].shape[1:] == (1, 14, 14)

"""Verdicts follow from the numbers: a good and a bad control for each rule; the table is that of the result files."""

import pytest

from experiments import claims
from experiments.claims import ablations, images, spirals
from experiments.claims.__main__ import PAGES, inserted
from experiments.claims.parts import progress


def result(values, q=0, exact=0, repeats=2, **settings):
    def repeat(shift):
        case = {name: value + 0.001 * shift for name, value in values.items()}
        cut = {name: settings.get("pruned", v) for name, v in case.items()}
        return {
            "train_size": settings.get("num_points", 100),
            "test": {"full": case, "pruned": {rule: cut for rule in ("95", "argmax")}},
            "posterior": {
                "chosen_depth": {"argmax": q, "95": q, "expected": q},
                "chosen_depth_exact": {"argmax": exact},
                "q": [0.0] * int(q) + [1.0 - q % 1, q % 1],
            },
            "reliability": settings.get("reliability"),
        }

    return {"settings": settings, "seconds": 1.0, "repeats": [repeat(i) for i in range(repeats)], "command": ""}


def fitted(log_likelihood, error=0.01, **settings):
    return result({"log_likelihood": log_likelihood, "error": error}, **settings)


# The best plain network has depth 8.
PLAIN = [fitted(-0.02 - 0.01 * abs(d - 8), error=0.01 + 0.001 * abs(d - 8), max_depth=d) for d in range(24)]


@pytest.mark.parametrize(("q", "verdict"), [(8, "holds"), (10, "holds"), (13, "holds in part"), (20, "does not hold")])
def test_chosen_depth_is_ranked_among_plain_networks(q, verdict):
    text, found = spirals.best_depths([fitted(-0.02, q=q, max_depth=20)], PLAIN)
    assert found == verdict
    assert "the best have depth 8" in text
    assert spirals.best_depths([fitted(-0.02, q=q, max_depth=20)], PLAIN[:9])[1] == "not run"
    assert spirals.best_depths([fitted(-0.02, q=q, max_depth=10)], PLAIN)[1] == "not run"


@pytest.mark.parametrize(
    ("ours", "error", "verdict"),
    [
        (-0.01, 0.001, "holds"),
        (-0.01, 0.1, "does not hold"),
        (-0.06, 0.014, "holds in part"),
        (-0.6, 0.001, "does not hold"),
    ],
)
def test_learnt_depth_is_compared_with_all_plain_networks(ours, error, verdict):
    assert spirals.beats_all([fitted(ours, error=error, max_depth=20)], PLAIN)[1] == verdict


def test_stability_is_that_from_20_to_50():
    def scan(guide, exact, largest=50):
        rows = zip((5, 20, 30, largest), guide, exact, strict=True)
        return [fitted(0.0, q=q, exact=e, max_depth=d) for d, q, e in rows]

    assert spirals.stable_depth(scan((1, 8, 8, 9), (1, 4, 4, 5)))[1] == "holds"
    assert spirals.stable_depth(scan((1, 8, 12, 20), (1, 4, 4, 5)))[1] == "holds in part"
    assert spirals.stable_depth(scan((1, 8, 12, 20), (1, 4, 9, 15)))[1] == "does not hold"
    assert spirals.stable_depth(scan((1, 8, 8, 9), (1, 4, 4, 5), largest=40))[1] == "not run"


@pytest.mark.parametrize(
    ("quarter", "moves", "verdict"),
    [(90, 0.1, "holds"), (90, 0.4, "holds in part"), (20, 0.1, "holds in part"), (20, 0.4, "does not hold")],
)
def test_early_layers_do_much_more_and_late_ones_much_less(quarter, moves, verdict):
    def network(name, at_a_quarter, late):
        # Two points, in the cells (0, 1) and (1, 0); the other cells say nothing.
        percent = [[[50, p], [p, 7]] for p in (0, at_a_quarter, 100, 100, 100)]
        repeat = {"percent": percent, "points": [[-2.4, 2.1], [9.0, -3.0]], "moves": [1.0, 1.0, 1.0, late]}
        return {"settings": {"readout": name}, "extent": 2.5, "repeats": [repeat]}

    assert spirals.early_layers([network("all", quarter, moves), network("last", 40, 0.4)])[1] == verdict


@pytest.mark.parametrize(
    ("judge", "name", "sign"),
    [
        (spirals.narrow_deep, "width", -1),
        (spirals.more_rotation, "rotation", 1),
        (spirals.more_data, "num_points", 100),
    ],
)
def test_trends_are_rank_correlations(judge, name, sign):
    def scan(guide, exact):
        values = (abs(sign) * x for x in (2, 3, 4, 5))
        return [fitted(0.0, q=q, exact=e, **{name: x}) for x, q, e in zip(values, guide, exact, strict=True)]

    up, flat = (1, 2, 4, 9), (3, 3, 3, 3)
    rising, falling = (up, up[::-1]) if sign > 0 else (up[::-1], up)
    assert judge(scan(rising, rising))[1] == "holds"
    assert judge(scan(rising, flat))[1] == "holds in part"
    assert judge(scan(falling, flat))[1] == "does not hold"


def test_more_data_may_make_deeper_only_at_first():
    def scan(guide, exact, sizes=(100, 200, 500, 800)):
        rows = zip(sizes, guide, exact, strict=True)
        return [fitted(0.0, q=q, exact=e, num_points=x, repeats=3) for x, q, e in rows]

    at_first = (2, 9, 8, 7)
    text, verdict = spirals.more_data(scan(at_first, at_first))
    assert verdict == "holds in part"
    assert "deeper with 500 points and more than with the fewest by 5.5 and 5.5 blocks" in text
    assert spirals.more_data(scan(at_first, (8, 9, 8, 7)))[1] == "does not hold"
    assert spirals.more_data(scan(at_first, at_first, sizes=(1, 2, 3, 4)))[1] == "not run"


def image(data, q=1, error=0.1, pruned=0.1, max_depth=4):
    size = {"channels": 4, "max_epochs": 5, "pruned": pruned}
    return result({"error": error, "ece": 0.1}, q=q, data=data, max_depth=max_depth, **size)


SETS = ("mnist", "fashion_mnist", "svhn_test_digits")


@pytest.mark.parametrize(
    ("depths", "verdict"), [((1, 2, 3), "holds"), ((1, 2, 1), "holds in part"), ((3, 2, 1), "does not hold")]
)
def test_depth_follows_the_data(depths, verdict):
    learnt = [image(name, q=q) for name, q in zip(SETS, depths, strict=True)]
    assert images.complexity([*learnt, image("mnist", max_depth=8)])[1] == verdict


def test_pruning_costs_nothing_within_a_tenth_of_a_point():
    free, costly = image("mnist", pruned=0.101), image("fashion_mnist", pruned=0.12)
    assert images.pruning_is_free([image("mnist", q=4, pruned=0.1)])[1] == "does not hold"  # it removes nothing
    assert images.pruning_is_free([free])[1] == "holds"
    assert images.pruning_is_free([free, costly])[1] == "holds in part"
    assert images.pruning_is_free([costly])[1] == "does not hold"


def test_expected_depth_grows_with_max_depth():
    growing = [image("mnist", q=q, max_depth=d) for d, q in ((0, 0.0), (2, 1.0), (4, 1.5))]
    shrinking = [image("fashion_mnist", q=q, max_depth=d) for d, q in ((2, 1.5), (4, 1.0))]
    assert images.deeper_with_more_blocks(growing)[1] == "holds"
    assert images.deeper_with_more_blocks([*growing, *shrinking])[1] == "holds in part"
    assert images.deeper_with_more_blocks(shrinking)[1] == "does not hold"


def calibrated(*over):
    kinds = (("last", "per_depth"), ("all", "per_depth"), ("all", "shared"))
    tables = [{"counts": [0, 4], "confidence": [None, 0.5 + v], "accuracy": [None, 0.5]} for v in over]
    return [
        result(
            {"ece": 0.1, "paper_ece": 0.2},
            **{"data": "mnist", "channels": 4, "max_depth": 4, "max_epochs": 5},
            readout=readout,
            head_statistics=statistics,
            reliability=table,
        )
        for (readout, statistics), table in zip(kinds, tables, strict=True)
    ]


def test_confidence_is_compared_with_accuracy():
    text, verdict = images.less_confident(calibrated(0.2, 0.1, -0.1))
    assert (verdict, "+20.0, +10.0, -10.0 points" in text) == ("holds", True)
    assert "that of the paper's code 20.1 ± 0.1, 20.1 ± 0.1, 20.1 ± 0.1 %" in text
    elsewhere = [result | {"settings": result["settings"] | {"data": "svhn"}} for result in calibrated(0.1, 0.2, 0.0)]
    assert images.less_confident(calibrated(0.1, -0.2, 0.0))[1] == "holds", "MNIST is left out of the second half"
    assert images.less_confident(elsewhere)[1] == "holds in part"
    assert images.less_confident(calibrated(-0.1, 0.2, 0.0))[1] == "does not hold"
    assert images.under_confident(calibrated(0.1, -0.1, -0.1))[1] == "holds"
    assert images.under_confident(calibrated(0.1, 0.0, -0.1))[1] == "holds in part"
    assert images.under_confident(calibrated(0.1, 0.0, 0.1))[1] == "does not hold"


def test_the_papers_savings_are_those_of_depths():
    def timed(image, depth, milliseconds):
        ms = {"pruned": milliseconds, "plain": 100.0, "all read-outs": 100.0}
        return {"settings": {"image": image, "depth": depth}, "ms": ms}

    times = [timed(image, d, float(d)) for image in ("1x28x28", "3x32x32") for d in range(0, 101, 10)]
    times[7] = timed("1x28x28", 70, 20.0)  # noise must not turn the curve
    text = images.faster(times)[0]
    assert "savings are those of depth 38 (MNIST, 62 %), 59 (Fashion-MNIST, 41 %) here" in text
    assert "savings are those of depth 63 (SVHN, 37 %) here" in text


@pytest.mark.parametrize(("half", "verdict"), [(5.4, "holds"), (9.0, "does not hold")])
def test_time_is_compared_with_the_share_of_blocks(half, verdict):
    times = [
        {"settings": {"image": "1x28x28", "depth": d}, "ms": {"pruned": ms, "plain": 10.0, "all read-outs": 11.0}}
        for d, ms in ((0, 1.0), (5, half), (10, 10.0))
    ]
    assert images.faster(times)[1] == verdict


SCORED = {"log_likelihood": -0.1, "error": 0.02, "ece": 0.01}


def test_lag_is_that_of_each_learning_rate():
    best = {"gap": 0.5, "chosen_depth": 3, "chosen_depth_exact": 2, "test": SCORED}
    repeat = {"states": [{"epoch": e, "gap": g} for e, g in ((1, 9.0), (1000, 2.0), (3000, 1.0))], "best": best}
    first, second = ablations.lag([{"guide_lr_factor": factor, "repeats": [repeat]} for factor in (10, 1)])
    assert first[:5] == ("x 1", "2.00 ± 0.00", "0.50 ± 0.00", "3.0 ± 0.0", "2.0 ± 0.0")
    assert first[5:] == ("-0.100 ± 0.000", "2.0 ± 0.0", "1.0 ± 0.0")
    assert second[0] == "x 10"


def test_lag_on_images_is_that_of_each_mode():
    modes = {name: {"gap": g, "chosen_depth_exact": g} for name, g in (("train_mode", 5.0), ("recalibrated", 6.0))}
    modes["recalibrated"] |= {"test": SCORED | {"ece": 0.02}, "test_exact": SCORED | {"ece": 0.03}}
    best = {"gap": 4.0, "chosen_depth": 3, "chosen_depth_exact": 4, "test": SCORED} | modes
    rows = ablations.lag_on_images([{"guide_lr_factor": 1, "repeats": [{"best": best}]}])
    assert [row[3] for row in rows] == ["4.0 ± 0.0", "5.0 ± 0.0", "6.0 ± 0.0", "0"]
    assert [row[5] for row in rows] == ["4.0 ± 0.0", "5.0 ± 0.0", "6.0 ± 0.0", "6.0 ± 0.0"]
    assert [row[-1] for row in rows] == ["1.0 ± 0.0", "", "2.0 ± 0.0", "3.0 ± 0.0"]


def test_the_exact_posterior_is_put_beside_the_guide():
    def learnt(**settings):
        one = fitted(-0.2, q=8, **settings)
        for repeat in one["repeats"]:
            repeat["test"] = {"full": SCORED, "exact_posterior": SCORED | {"error": 0.03, "log_likelihood": -0.06}}
            repeat["posterior"]["chosen_depth_exact"]["95"] = 5
        return one

    rows = ablations.closed_form([learnt(max_depth=20)], [learnt(data="mnist", max_depth=d) for d in (2, 12)])
    assert [(name, weights, depth, error, gain) for name, weights, depth, _, error, _, gain in rows] == [
        ("spirals, D = 20", "q", "8.0 ± 0.0", "2.0 ± 0.0", ""),
        ("spirals, D = 20", "exact posterior", "5.0 ± 0.0", "3.0 ± 0.0", "0.040 ± 0.000"),
        ("MNIST, D = 12", "q", "8.0 ± 0.0", "2.0 ± 0.0", ""),
        ("MNIST, D = 12", "exact posterior", "5.0 ± 0.0", "3.0 ± 0.0", "0.040 ± 0.000"),
    ]


def test_head_statistics_are_compared_where_both_are_there():
    def at(ece, depths):
        return [result(SCORED | {"ece": ece}, data="mnist", max_depth=depth) for depth in depths]

    rows = ablations.head_statistics(at(0.01, (0, 2, 4)), at(0.1, (2,)))
    assert [(*row[:3], row[-1][:4]) for row in rows] == [
        ("MNIST", "2", "for each depth", "1.0 "),
        ("MNIST", "2", "shared", "10.1"),
    ]


def test_every_claim_has_a_finding_and_the_readme_shows_it():
    texts = {page: page.read_text() for page in PAGES}
    for page, tables in PAGES.items():
        assert inserted(texts[page], tables) == texts[page], "run: python -m experiments.claims"
    text = "\n".join(texts.values())
    for claim in claims.CLAIMS:
        found, verdict = claims.finding(claim)
        assert found in text
        unfinished = [name for name in claim.experiments if progress(name)[0] < progress(name)[1]]
        assert verdict == "not run" or claim.partial or not unfinished


def test_markers_are_needed():
    with pytest.raises(ValueError, match="Expected the markers"):
        inserted("no markers", {"claims": str})

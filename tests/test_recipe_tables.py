"""The tables of the recipe's experiments, from results made up by hand."""

from experiments import recipe_parts, spirals_recipe


def test_parts_are_differences_from_the_recipe_by_pairs_of_seeds():
    def result(variant, seed, log_likelihood, **more):
        settings = {"data": "mnist", "variant": variant, "seed": seed}
        return {
            "settings": settings,
            "validation": {"log_likelihood": log_likelihood, "error": 0.1, "ece": 0.02},
        } | more

    depths = {"chosen_depth": 7, "gap": 0.5, "auroc": 0.9}
    found = [result("recipe", seed, value, **depths) for seed, value in ((100, -1.0), (101, -2.0))]
    found += [result("plain network", seed, value) for seed, value in ((100, -1.5), (101, -2.1), (102, -9.0))]
    *_, recipe, plain = recipe_parts.table(found).splitlines()
    assert recipe == "| recipe | -1.500 ± 0.707 | 10.00 ± 0.00 | 2.0 | 90 | 7.0 | 0.5 |"
    # The differences are -0.5 and -0.1; the seed 102 has no recipe. The standard error is 0.4 / sqrt(2) / sqrt(2).
    assert plain == "| plain network | -0.300 ± 0.200 | +0.00 ± 0.00 | 2.0 |  |  |  |"


def test_spirals_have_the_spread_and_the_worst_seed():
    def repeat(error, depth):
        full = {"error": error, "log_likelihood": -error}
        posterior = {"chosen_depth": {"95": depth}, "evidence_gap": 0.25}
        return {"test": {"full": full, "pruned": {"95": full}}, "posterior": posterior}

    varied = {"variant": "recipe", "seed": 0}
    found = [{"varied": varied, "repeats": [repeat(0.01, 7), repeat(0.03, 9)]}]
    row = spirals_recipe.table(found).splitlines()[-1]
    assert row == "| 0-1 | recipe | 2.00 ± 1.41 | 3.00 | -0.020 ± 0.014 | 2.00 ± 1.41 | 8.0 ± 1.4 | 0.25 ± 0.00 |"

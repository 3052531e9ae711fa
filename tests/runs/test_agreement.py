"""Guide and exact posterior of a run: what is chosen from each, and a sentence where they disagree."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.diagnostics.agreement import LARGE_GAP, agreement_note
from pyro_vds.runs.agreement import cut_line, note_on_guide
from pyro_vds.runs.captions import describe
from pyro_vds.runs.evaluate import draw
from pyro_vds.runs.metrics import collect_metrics, costs_to_choose_by
from pyro_vds.runs.settings import Settings
from tests.commands import BRIEF, read_json


@pytest.mark.parametrize(
    ("gap", "exact", "says"),
    [
        (0.0, "depth 7", ""),
        (LARGE_GAP, "depth 7", ""),
        (1.01, "depth 7", "(gap 1.01 nats): both choose depth 7."),
        (0.2, "depth 4", "(gap 0.20 nats): the guide chooses depth 7, the exact posterior depth 4."),
    ],
)
def test_they_disagree_by_another_choice_or_by_more_than_a_nat(gap, exact, says):
    note = agreement_note(gap, "depth 7", exact, "do this")
    assert note == (f"Guide and exact posterior disagree {says} To make them agree, do this." if says else "")


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    """A run whose guide has hardly moved from uniform, where prior and posterior want depth 2."""
    torch.set_default_dtype(torch.float32)
    out = tmp_path_factory.mktemp("lag") / "run"
    prior = ["--prior", "Weights", "--prior.probs", "[0.001, 0.009, 0.99]"]
    cli.main([*BRIEF, "--guide-update", "gradient", *prior, "--out", str(out)])
    torch.set_default_dtype(torch.float64)
    return out


@pytest.mark.usefixtures("float32")
def test_every_command_names_the_posterior_of_its_choice_and_says_that_they_differ(capsys, lagging):
    posterior = read_json(lagging / "metrics.json")["posterior"]
    q, p = (np.array(posterior["axes"]["depth"][name]) for name in ("q", "exact"))
    by_guide, by_exact = (int(np.flatnonzero(probs >= 0.95 * probs.max())[0]) for probs in (q, p))
    assert (by_guide, by_exact) == (posterior["chosen"]["depth"], posterior["chosen_exact"]["depth"])
    assert by_guide < by_exact == 2
    run = vds.load_run(lagging)
    gap = (q * np.log(q / p)).sum()
    assert run.note == (
        f"Guide and exact posterior disagree (gap {gap:.2f} nats): the guide chooses depth {by_guide}, the exact "
        "posterior depth 2. To make them agree, train with --guide-update closed_form, or call "
        "guide.set_probs(exact.probs)."
    )
    assert f"chosen depth: {by_guide} of 0..2 (guide, rule 95;" in run.summary
    assert f"\n{run.note}\n" in run.summary
    cli.main(["reweight", str(lagging), "--prior", "Uniform"])
    text = capsys.readouterr().out
    assert "chosen depth 2 (exact posterior, rule 95); log evidence" in text
    assert run.note in text
    cli.main(["evaluate", str(lagging)])
    assert capsys.readouterr().out.startswith(f"pruned to depth {by_guide} (guide, rule 95)\n{run.note}\n")
    cli.main(["evaluate", str(lagging), "--depth", "1"])
    assert "disagree (" not in capsys.readouterr().out
    cli.main(["report", str(lagging), "--overwrite"])
    assert f'<p class="note">{run.note}</p>' in (lagging / "report.html").read_text()
    assert describe(run, "posterior").seen.endswith(run.note)


@pytest.mark.usefixtures("float32")
def test_the_figure_of_a_run_says_so_too(lagging, monkeypatch):
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    run = vds.load_run(lagging)
    draw(run)
    notes = [figure.get_suptitle().replace("\n", " ") for figure in kept]
    assert notes.count(run.note) == 1
    assert notes.count("") == len(notes) - 1


@pytest.mark.usefixtures("float32")
def test_the_remedy_makes_them_agree(lagging):
    run = vds.load_run(lagging)
    exact = vds.exact_posterior(run.model, run.data.train)
    run.guide.set_probs(exact.probs)
    metrics, _ = collect_metrics(run.model, run.guide, run.data.train, run.data.test, rule="95")
    assert metrics["posterior"]["chosen"] == metrics["posterior"]["chosen_exact"] == {"depth": 2}
    assert note_on_guide(metrics["posterior"], run.settings) == ""


def test_the_choice_from_the_exact_posterior_of_two_axes_is_the_cheapest_of_the_probable():
    torch.manual_seed(0)
    net = vds.WithWidths(vds.ResidualMLP(2, 2, width=8, max_depth=3), widths=[2, 4, 8])
    model = vds.VDSModel(net, num_data=20)
    guide = vds.AutoCategorical(model)
    data = torch.randn(20, 2), torch.arange(20) % 2
    metrics, exact = collect_metrics(model, guide, data, data, rule="95")
    assert exact is not None
    p, costs = exact.log_joint_probs.exp(), costs_to_choose_by(model, data[0])
    cheapest = int(torch.where(p >= 0.95 * p.max(), costs, torch.inf).argmin())
    assert metrics["posterior"]["chosen_exact"] == {"depth": cheapest // 3, "width": (2, 4, 8)[cheapest % 3]}
    far = metrics["posterior"] | {"evidence_gap": 2.0}
    note = note_on_guide(far, Settings(widths=(2, 4, 8)).resolved())
    assert "take a guide that knows how choices depend on each other, --guide joint" in note


def test_of_too_many_architectures_nothing_is_said():
    estimate = {"chosen": {"gate": (True,)}, "axes": {}, "elbo_se": 1.0}
    assert note_on_guide(estimate, Settings()) == ""


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "pruned to depth 3, width 8 (guide, rule 95)"),
        ({"depth": 3}, "pruned to depth 3, width 8 (width: guide, rule 95)"),
        ({"depth": 3, "width": 8}, "pruned to depth 3, width 8"),
    ],
)
def test_a_cut_says_what_was_chosen(given, line):
    assert cut_line({"depth": 3, "width": 8}, given, "95") == line

"""The page of a run: well-formed HTML with every figure and number, nothing from outside, and nothing unescaped."""

import base64
import contextlib
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pyro_vds import load_run
from pyro_vds.cli import main as cli

BRIEF = ["--num-points", "40", "--width", "4", "--max-depth", "2", "--max-epochs", "2", "--progress", "false"]
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Reads a page, checks that its elements are closed in order, and collects text, cells and attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.rows: list[list[str]] = []
        self.text = path.read_text()
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        (found,) = (row for row in self.rows if row[0] == name)
        return found[1:]

    def titles(self) -> list[str]:
        return [attrs["aria-label"] for _, attrs in self.seen if attrs.get("class") == "scroll picture"]

    def images(self) -> list[bytes]:
        sources = [attrs["src"] for tag, attrs in self.seen if tag == "img"]
        return [base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) for source in sources]


pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("page") / "run"
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(["fit", "spirals", *BRIEF, "--out", str(out)])
    return out


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def alts(page: Page) -> list[str]:
    return [attrs["alt"] for tag, attrs in page.seen if tag == "img"]


def page_of(run: Path) -> Page:
    cli.main(["report", str(run)])
    return Page(run / "report.html")


def fails(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(word) for word in words])
    assert stopped.value.code == 1
    return capsys.readouterr().err


def test_page_holds_every_figure(run):
    page = page_of(run)
    files = [path.read_bytes() for path in (run / "figures").iterdir()]
    assert sorted(page.images()) == sorted(files)
    assert all(attrs["alt"] for tag, attrs in page.seen if tag == "img")


def test_page_needs_nothing_from_outside(run):
    page = page_of(run)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.seen}
    for _, attrs in page.seen:
        assert attrs.get("src", "data:").startswith("data:")
        assert attrs.get("href", "#").startswith("#")
    assert "url(" not in page.text
    assert "://" not in page.text


def test_page_fits_a_phone(run):
    """Wide things scroll in a box of their own, or shrink; the page itself is as wide as the screen."""
    page = page_of(run)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [a for _, a in page.seen]
    for before, (tag, _) in zip(page.seen, page.seen[1:], strict=False):
        assert tag not in ("table", "img") or "scroll" in before[1].get("class", "")
    assert ".scroll { overflow-x: auto; max-width: 100%;" in page.text


def test_contents_lead_to_the_parts_of_the_page(run):
    page = page_of(run)
    targets = [attrs["href"].removeprefix("#") for tag, attrs in page.seen if tag == "a"]
    assert (
        targets == [attrs["id"] for tag, attrs in page.seen if tag == "h2"] == ["test", "figures", "posterior", "run"]
    )


def test_page_lists_the_settings_that_the_run_uses(run):
    names = {row[0] for row in page_of(run).rows if len(row) == 2}
    assert {"num points", "width", "max depth", "prior", "rule"} <= names
    assert not {"uci name", "split", "channels", "bottleneck", "pretrained", "threshold", "width prior"} & names


def test_figures_are_described_by_what_is_seen(run):
    """The description of the posterior has the numbers of the run's files."""
    seen = dict(zip(["posterior", "functions", "reliability", "history"], alts(page_of(run)), strict=True))
    metrics, tree = json.loads((run / "metrics.json").read_text()), load_run(run).datatree
    depth, chosen = metrics["posterior"]["axes"]["depth"], metrics["posterior"]["chosen"]["depth"]
    q, p = (int(np.argmax(depth[name])) for name in ("q", "exact"))
    assert f"largest at depth {q} (q {depth['q'][q]:.2f}), the exact posterior at depth {p} (" in seen["posterior"]
    values = tree["architecture"]["log_likelihood"].mean("obs_id").to_numpy()
    best = int(values.argmax())
    assert f"The test log-likelihood is best at depth {best} ({values[best]:.4f} nats per point)" in seen["posterior"]
    assert ("the chosen one" if best == chosen else f"{values[chosen]:.4f} at the chosen depth") in seen["posterior"]
    assert f"from {values[0]:.4f} to {values[-1]:.4f} nats" in seen["functions"]
    full = metrics["test"]["full"]
    assert f"error is {100 * full['ece']:.2f} % (full), " in seen["reliability"]
    assert seen["reliability"].endswith("on 36 test points.")
    elbo = load_run(run).history.elbo
    assert f"goes from {-elbo[0]:,.1f} to {-elbo[-1]:,.1f} nats" in seen["history"]


def test_numbers_are_those_of_the_metrics(run, capsys):
    page = page_of(run)
    assert capsys.readouterr().out == f"report: {run / 'report.html'}\n"
    metrics = json.loads((run / "metrics.json").read_text())
    for case, values in metrics["test"].items():
        assert page.row(case) == [
            f"{values['log_likelihood']:.4f}", f"{100 * values['error']:.2f} %", f"{100 * values['ece']:.2f} %",
            f"{values['brier']:.4f}", f"{metrics['parameters'][case]:,}",
        ]  # fmt: skip
    posterior = metrics["posterior"]
    depth = posterior["axes"]["depth"]
    for d, q in enumerate(depth["q"]):
        exact, likelihood = depth["exact"][d], posterior["train_log_likelihood"][d]
        assert page.row(str(d))[:3] == [f"{q:.3f}", f"{exact:.3f}", f"{likelihood:.6f}"]
    assert f"Chosen depth: {posterior['chosen']['depth']} of 0..2" in page.text
    assert f"ELBO {posterior['elbo']:.2f} nats" in page.text
    assert "<h1>spirals: learnt depth</h1>" in page.text
    assert page.titles() == ["Posterior over depth", "Functions by depth", "Reliability", "Training"]
    assert page.row("epochs") == ["2 (max_epochs)"]
    assert page.row("torch") == [json.loads((run / "environment.json").read_text())["versions"]["torch"]]
    assert page.row("prior") == ["Geometric(decay=0.85)"]


def test_settings_are_escaped(tmp_path):
    folder = tmp_path / "<b>bold<b> & more"
    folder.mkdir()
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(folder / "data.npz", x=x, y=x.sum(1))
    run = tmp_path / "run"
    words = ["fit", "npz", "--data-path", str(folder / "data.npz"), *BRIEF[2:], "--out", str(run)]
    cli.main(words)
    page = page_of(run)
    assert page.row("data path") == [str(folder / "data.npz")]
    assert "b" not in {tag for tag, _ in page.seen}
    assert page.titles() == ["Posterior over depth", "Coverage", "Training"]
    density = load_run(run).datatree["architecture"]["log_likelihood"].mean("obs_id").to_numpy()
    shift = np.log(json.loads((run / "data.json").read_text())["target_std"]).sum()
    best = f"best at depth {density.argmax()} ({density.max() - shift:.4f} nats per point)"
    assert best in alts(page)[0]  # in the units of the data
    assert page.row("full")[1] == f"{json.loads((run / 'metrics.json').read_text())['test']['full']['rmse']:.4f}"


def test_plain_network_has_a_page_without_a_posterior(tmp_path):
    cli.main(["fit", "spirals", *BRIEF, "--readout", "last", "--out", str(tmp_path / "run")])
    page = page_of(tmp_path / "run")
    assert len(page.images()) == 2
    assert "plain network" in page.text
    assert "q(depth)" not in page.text


def test_widths_have_a_table_of_their_own(tmp_path):
    run = tmp_path / "run"
    cli.main(["fit", "spirals", *BRIEF, "--widths", "[2, 4]", "--guide", "joint", "--out", str(run)])
    page = page_of(run)
    joint = json.loads((run / "metrics.json").read_text())["posterior"]["q_joint"]
    assert ["depth", "width 2", "width 4"] in page.rows
    assert ["1", *(f"{p:.3f}" for p in joint[1])] in page.rows
    assert "<h1>spirals: learnt depth and width</h1>" in page.text
    assert "Posterior over depth and width" in page.text
    assert "how well each depth or width alone predicts" in page.text


def test_report_goes_where_it_should_and_replaces_nothing_unasked(capsys, run, tmp_path):
    out = tmp_path / "deep" / "page.html"
    cli.main(["report", str(run), "--out", str(out)])
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
    out.write_text("old")
    assert "Expected a new path" in fails(capsys, "report", run, "--out", out)
    assert out.read_text() == "old"
    cli.main(["report", str(run), "--out", str(out), "--overwrite"])
    assert len(Page(out).images()) == 4
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("metrics.json", None), ("environment.json", "{}"), ("environment.json", "[")]
)
def test_damaged_files_are_named(capsys, run, name, content):
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["test"]
    (run / name).write_text(json.dumps(metrics) if content is None else content)
    message = fails(capsys, "report", run)
    assert message.startswith(f"pyro-vds: Expected an intact run folder at {run}, but {name} is ")
    assert not (run / "report.html").exists()


def test_missing_figures_are_reported(capsys, run):
    shutil.rmtree(run / "figures")
    message = fails(capsys, "report", run)
    assert message.endswith(f"found none. Draw them: pyro-vds plot {run}\n")

"""Help, version, completion, and what is said of words that are none: a line that names what there is."""

import re
import runpy
from dataclasses import fields

import pytest

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.cli.options import OF_RUNS, groups_of_fit, options_of
from pyro_vds.priors.families import PRIORS, Geometric, Poisson
from pyro_vds.runs.settings import Settings
from tests.commands import BRIEF, fails

pytestmark = pytest.mark.usefixtures("float32")


def printed(capsys, *words: str) -> str:
    cli.main(words)
    found = capsys.readouterr()
    assert not found.err
    return found.out


def test_version_and_the_commands_with_what_they_do(capsys):
    assert printed(capsys, "--version") == f"pyro-vds {vds.__version__}\n"
    text = printed(capsys, "--help")
    assert all(f"  {name:12}{words}\n" in text for name, words in cli.COMMANDS.items())
    assert {"fit", "completion", *OF_RUNS} == cli.COMMANDS.keys()


def test_the_package_is_a_command_too(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pyro_vds", "--version"])
    runpy.run_module("pyro_vds", run_name="__main__")
    assert capsys.readouterr().out == f"pyro-vds {vds.__version__}\n"


@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_of_fit_fits_a_screen(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = printed(capsys, "fit", "--help").splitlines()
    assert len(lines) <= 45
    # Three options have a list of names that no narrow line holds.
    assert sum(len(line) > int(columns) for line in lines) <= 3
    assert "--help all" in lines[-1]


def test_all_of_the_help_has_every_option_once_in_a_group_as_it_is_typed(capsys):
    names = [name for group in groups_of_fit().values() for name in group]
    assert len(names) == len(set(names))
    assert set(names) == options_of("fit").keys() >= {field.name for field in fields(Settings)}
    for command in cli.COMMANDS.keys() - {"completion"}:
        text = printed(capsys, command, "--help", "all")
        assert not re.search(r"--\w*_|<class|typing|Optional|NoneType|:\w+:`|None\]", text)
        flags = re.findall(r"^  (--[\w-]+)", text, flags=re.MULTILINE)
        assert sorted(flags) == sorted(option.flag for option in options_of(command).values())
    text = printed(capsys, "fit", "--help", "all")
    for line in ("--max-depth INT", "--rule 95 | argmax | expected", "--lr NUMBER", "--out PATH", "--prior PRIOR"):
        assert f"  {line} " in text or f"  {line}\n" in text
    assert "  --overwrite  " in text
    # What is true without a word needs a value to say false.
    assert "  --progress true | false" in text
    assert "  --fold-batch-norm true | false" in printed(capsys, "prune", "--help")


ONE_OF_PRIORS = f"one of {', '.join(PRIORS)}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max-epochs abc", "--max-epochs as a whole number, got abc."),
        ("--max_epochs 1e3", "--max-epochs as a whole number, got 1e3."),
        ("--max-epochs=1.5", "--max-epochs as a whole number, got 1.5."),
        ("--max-epochs", "--max-epochs as a whole number, got nothing after it."),
        ("--out --overwrite", "--out as a path, got nothing after it."),
        ("--lr nan", "--lr as a number, got nan."),
        ("--lr inf", "--lr as a number, got inf."),
        ("--widths 4", "--widths as a list of whole numbers, such as [4, 8], got 4."),
        ("--rule best", "--rule as one of 95, argmax, expected, got best."),
        ("--averaging mean", "--averaging as one of ema, swa, got mean."),
        ("--unknown 1", "an option of pyro-vds fit, got --unknown."),
        ("--max-deepness 3", "an option of pyro-vds fit, got --max-deepness. Did you mean --max-depth?"),
        ("--conf other.yaml", "an option of pyro-vds fit, got --conf. Did you mean --config?"),
        ("--config none.yaml", "a file of settings at none.yaml, found none."),
        ("spirals", "nothing more than options after pyro-vds fit DATA, got spirals."),
        ("--data cifar", ", table, got cifar. Did you mean cifar10?"),
        ("--prior Foo", f"--prior as {ONE_OF_PRIORS}, got Foo."),
        ("--prior geometrc", f"--prior as {ONE_OF_PRIORS}, got geometrc. Did you mean Geometric?"),
        ("--prior os.system", f"--prior as {ONE_OF_PRIORS}, got os.system."),
        ("--prior Poisson", "--prior.rate with --prior Poisson, got none."),
        ("--prior Poisson --prior.rate x", "--prior.rate as a number, got x."),
        (
            "--prior Poisson --prior.ratee 2",
            "--prior.rate with --prior Poisson, got --prior.ratee. Did you mean --prior",
        ),
        ("--prior Uniform --prior.x 2", "no argument with --prior Uniform, got --prior.x."),
        ("--optimizer adamw", "SparseAdam, or the path of another class, got adamw. Did you mean AdamW?"),
        ("--optimizer AdamW --optimizer.lr x", "--optimizer.lr as a number, got x."),
        ("--optimizer AdamW --optimizer.weight_deca 0", "Did you mean --optimizer.weight-decay?"),
        ("--scheduler StepLR", "--scheduler.step-size with --scheduler StepLR, got none."),
    ],
)
def test_words_that_are_none_are_said_in_a_line(capsys, tmp_path, words, expected):
    code, message = fails(capsys, *BRIEF, *words.split())
    assert code == 2
    assert message.startswith("pyro-vds fit: Expected ")
    assert expected in message
    assert message.count("\n") == 1


def test_an_unknown_network_lists_the_known_ones(capsys):
    code, message = fails(capsys, *BRIEF, "--network", "resnet19")
    assert (code, message.count("\n")) == (1, 1)
    assert "connectivity, cell, or timm:NAME such as timm:resnet18, got resnet19. Did you mean resnet18?" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max_deepness: 3", "settings in FILE, got max_deepness. Did you mean max_depth?"),
        ("max-depth: 3", "settings in FILE, got max-depth. Did you mean max_depth?"),
        ("max_depth: many", "--max-depth as a whole number, got many."),
        ("data: null", "--data as one of spirals, digits,"),
        ("seed: null", "--seed as a whole number, got null."),
        ("prior: Foo", f"--prior as {ONE_OF_PRIORS}, got Foo."),
        ("prior: {class_path: Poison, init_args: {rate: 2}}", "got Poison. Did you mean Poisson?"),
        ("prior: {class_path: Poisson, init_args: {rat: 2}}", "got --prior.rat. Did you mean --prior.rate?"),
        ("- a", "a YAML file of settings at FILE, such as max_depth: 5, got none in it."),
        ("a: [1", "a YAML file of settings at FILE, got one with an error: "),
    ],
)
def test_a_wrong_config_is_said_in_a_line(capsys, tmp_path, content, expected):
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    code, message = fails(capsys, "fit", "--config", path)
    assert code == 2
    assert message.startswith("pyro-vds fit: Expected ")
    assert expected.replace("FILE", str(path)) in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evaluate"], "a run folder, got none. Write pyro-vds evaluate RUN, such as runs/spirals."),
        (["evaluate", "--depth", "3"], "a run folder, got none."),
        (["evaluate", "RUN", "OTHER"], "nothing more than options after pyro-vds evaluate RUN, got OTHER."),
        (["evaluate", "RUN", "--depth", "x"], "--depth as a whole number, got x."),
        (["evaluate", "RUN", "--rul", "95"], "an option of pyro-vds evaluate, got --rul. Did you mean --rule?"),
        (["reweight", "RUN"], f"--prior as {ONE_OF_PRIORS}, got none."),
        (["lesion", "RUN", "--draws", "1.5"], "--draws as a whole number, got 1.5."),
        (["completion", "fishy"], "the name of a shell, one of bash, zsh, tcsh, got fishy."),
    ],
)
def test_words_that_are_none_for_a_run_are_said_in_a_line(capsys, words, expected):
    code, message = fails(capsys, *words)
    assert (code, message.count("\n")) == (2, 1)
    assert message.startswith(f"pyro-vds {words[0]}: Expected {expected}")


def test_a_flag_does_not_take_the_run_as_its_value():
    found = cli.parse("evaluate", ["--overwrite", "RUN", "--out=x"])
    assert (str(found.run), found.overwrite, str(found.out)) == ("RUN", True, "x")
    assert cli.parse("evaluate", ["RUN", "--overwrite", "false"]).overwrite is False


def test_a_prior_is_read_as_it_is_printed():
    assert cli.parse("fit", ["--prior", repr(Poisson(6))]).prior == Poisson(6)
    assert cli.parse("reweight", ["RUN", f"--prior={Geometric(0.5)!r}"]).prior == Geometric(0.5)
    with pytest.raises(ValueError, match="Expected a prior such as 'Geometric"):
        cli.parse("fit", ["--prior", "Geometric(0.85)"])


def test_steps_are_told_on_standard_error_unless_it_is_to_be_quiet(capsys, tmp_path):
    cli.main([*BRIEF[:-4], "--width", "4", "--max-epochs", "1", "--out", str(tmp_path / "told")])
    told = capsys.readouterr()
    steps = ["reading the data", "training on cpu, at most 1 epochs", "measuring", "drawing the figures"]
    assert [line.partition(":")[0] for line in told.err.splitlines()] == steps
    cli.main([*BRIEF, "--quiet", "--out", str(tmp_path / "quiet")])
    quiet = capsys.readouterr()
    assert not quiet.err
    assert "chosen depth" in quiet.out
    cli.main(["evaluate", str(tmp_path / "quiet"), "--quiet"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_learns_commands_options_and_names(capsys, shell):
    pytest.importorskip("shtab")
    text = printed(capsys, "completion", shell)
    assert all(word in text for word in ("reweight", "max-depth", "argmax", "fashion_mnist", "Hierarchical"))
    assert "max_depth" not in text

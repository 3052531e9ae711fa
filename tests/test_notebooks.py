"""The committed notebooks are complete: valid, executed without an error, and free of what belongs to one machine."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|mnt|opt|usr)/")


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def outputs(path: Path) -> list[dict]:
    return [output for cell in code_cells(path) for output in cell["outputs"]]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_first_steps",
        "02_priors",
        "03_depth_and_width",
        "04_calibration_and_ood",
        "05_own_backbone",
        "06_connectivity",
        "07_operations",
        "08_lesions",
        "09_pretrained_encoder",
        "paper_figures",
    ]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


def test_format_is_that_of_jupyter(notebook):
    content = json.loads(notebook.read_text())
    assert content["nbformat"] == 4
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert content["cells"][0]["source"][0].startswith("# ")


def test_cells_ran_once_and_in_order(notebook):
    assert [cell["execution_count"] for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))


def test_outputs_show_figures_and_no_errors(notebook):
    found = outputs(notebook)
    assert any("image/png" in output.get("data", {}) for output in found)
    assert not [output for output in found if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert "widgets" not in json.loads(notebook.read_text())["metadata"]


def test_one_switch_makes_it_tiny_and_nothing_draws_a_progress_bar(notebook):
    first = "".join(code_cells(notebook)[0]["source"])
    assert 'TINY = os.environ.get("PYRO_VDS_TINY") == "1"' in first
    source = "".join(line for cell in code_cells(notebook) for line in cell["source"])
    assert source.count("vds.fit(") == source.count("progress=False")
    assert ("vds.fit(" in source) == (notebook.stem != "paper_figures")


def test_nothing_names_the_machine_that_ran_it(notebook):
    text = "\n".join(
        "".join(value)
        for output in outputs(notebook)
        for kind, value in {"text": output.get("text", ""), **output.get("data", {})}.items()
        if not kind.startswith("image/")
    )
    assert not MACHINE.search(text)
    assert not MACHINE.search("".join(line for cell in code_cells(notebook) for line in cell["source"]))


def test_size_stays_small(notebook):
    assert notebook.stat().st_size < (900_000 if notebook.stem == "paper_figures" else 600_000)  # it has ten figures


def test_every_link_between_notebooks_is_to_one(notebook):
    linked = re.findall(r"\]\(([^)]+\.ipynb)\)", notebook.read_text())
    assert all((FOLDER / name).is_file() for name in linked)

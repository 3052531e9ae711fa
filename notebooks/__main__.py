"""Run notebooks: ``python -m notebooks [--tiny] [NAME...]``.

Without ``--tiny`` each is stored with its new outputs, in place. With it nothing is stored: small networks and few
epochs only show that every cell runs. Needs ``pip install -e '.[notebooks]'``.
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from pyro_vds.runs.files import atomic

FOLDER = Path(__file__).parent
TIMEOUT = 600


def execute(path: Path, *, tiny: bool) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run in a fresh kernel.

    Args:
        path: The notebook; it runs in its own folder.
        tiny: Whether it runs in its tiny form.

    Raises:
        CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "PYRO_VDS_TINY": "1" if tiny else "0"}
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    # Progress bars, notes on this machine, the version of Python and the state of widgets tell a reader nothing.
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main() -> None:
    """Run the named notebooks, all unless there are names."""
    names = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser = argparse.ArgumentParser(prog="python -m notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all unless given")
    parser.add_argument("--tiny", action="store_true", help="run in seconds, and store nothing")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"Expected names of {', '.join(names)}, got {', '.join(unknown)}; they are without .ipynb.")
    for name in options.names or names:
        started = time.perf_counter()
        path = FOLDER / f"{name}.ipynb"
        notebook = execute(path, tiny=options.tiny)
        if not options.tiny:
            with atomic(path) as temporary:
                nbformat.write(notebook, temporary)
        print(f"notebook {name}: ran{' in its tiny form' * options.tiny} in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()

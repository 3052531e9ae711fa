"""How long the package and its command line take to start, in processor time of fresh processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.measure import Comparison

CORE = "vds.VDSModel, vds.ResidualMLP, vds.AutoCategorical, vds.fit, vds.exact_posterior, vds.predict_proba, vds.prune"
CASES: dict[str, tuple[str, ...]] = {
    "import torch, pyro": ("-c", "import torch, pyro"),
    "import pyro_vds": ("-c", "import pyro_vds"),
    "import pyro_vds, torch, pyro": ("-c", "import pyro_vds, torch, pyro"),
    "and the names of a first example": ("-c", f"import torch, pyro, pyro_vds as vds; {CORE}"),
    "pyro-vds --help": ("-m", "pyro_vds", "--help"),
    "pyro-vds fit --help": ("-m", "pyro_vds", "fit", "--help"),
    "pyro-vds fit with a wrong option": ("-m", "pyro_vds", "fit", "spirals", "--max-epochs", "abc"),
}


def startup(*, tiny: bool) -> Comparison:
    """Compare the start of processes with that of torch and Pyro alone.

    The cases take turns, so that noise of the machine meets all alike.

    Args:
        tiny: One turn in place of eleven after the first, which fills the caches of the disk.
    """
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for turn in range(1 if tiny else 12):
        for case, words in CASES.items():
            used = _processor_seconds([sys.executable, *words])
            if turn or tiny:
                seconds[case].append(used)
    values = {case: 1000 * median(found) for case, found in seconds.items()}
    return Comparison("start of a process", "ms", "processor time, one thread", values)


def _processor_seconds(command: Sequence[str]) -> float:
    before = os.times()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, capture_output=True, check=False, env=environment)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system

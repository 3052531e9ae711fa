"""One run: from settings to a folder, and from a folder to a run."""

from pyro_vds.runs.evaluate import (
    choose_architecture,
    detect_other_data,
    draw,
    evaluate,
    export_network,
    prune_run,
    reweight_run,
)
from pyro_vds.runs.execute import execute
from pyro_vds.runs.folder import Run, load_run
from pyro_vds.runs.lesions import lesion_run
from pyro_vds.runs.report import write_report
from pyro_vds.runs.settings import Settings

__all__ = [
    "Run",
    "Settings",
    "choose_architecture",
    "detect_other_data",
    "draw",
    "evaluate",
    "execute",
    "export_network",
    "lesion_run",
    "load_run",
    "prune_run",
    "reweight_run",
    "write_report",
]

"""One run as the command line makes it, for the experiments whose result is one file."""

from typing import Any

from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.execute import measure_run
from pyro_vds.runs.settings import Settings


def run_once(settings: Settings) -> tuple[dict[str, Any], int]:
    """Train and measure.

    Args:
        settings: Settings with the data set's defaults filled in.

    Returns:
        The metrics of a run folder, and the number of epochs.
    """
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    history = train(settings, model, guide, data, progress=False)
    metrics, _ = measure_run(settings, model, guide, data)
    return metrics, len(history)

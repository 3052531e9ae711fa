"""One run as the command line makes it, for the experiments whose result is one file."""

from typing import Any

from pyro_vds.runs.build import DataSummary, build, train
from pyro_vds.runs.metrics import collect_metrics
from pyro_vds.runs.settings import Settings


def run_once(settings: Settings) -> tuple[dict[str, Any], int]:
    """Train and measure.

    Args:
        settings: Settings with the data set's defaults filled in.

    Returns:
        The metrics of a run folder, and the number of epochs.
    """
    data = settings.load_data()
    model, guide = build(settings, DataSummary.of(data))
    history = train(settings, model, guide, data, progress=False)
    metrics, _ = collect_metrics(model, guide, data.train, data.test, rule=settings.rule)
    return metrics, len(history)

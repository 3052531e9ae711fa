"""How things are measured: medians of interleaved runs, as ratios to a baseline of the same run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Comparison:
    """Values of some cases, and their ratios to the first.

    Attributes:
        name: What was measured.
        unit: Unit of the values.
        setting: The sizes.
        values: The value of each case; the first is the baseline.
        compile_seconds: Time that compiling took, of the cases that are compiled.
    """

    name: str
    unit: str
    setting: str
    values: dict[str, float]
    compile_seconds: Mapping[str, float] | None = None

    @property
    def ratios(self) -> dict[str, float]:
        """Each value divided by the baseline."""
        baseline = next(iter(self.values.values()))
        return {case: value / baseline for case, value in self.values.items()}

    def as_json(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        content = {"unit": self.unit, "setting": self.setting, "values": self.values, "ratios": self.ratios}
        return content | ({"compile_seconds": dict(self.compile_seconds)} if self.compile_seconds else {})

    def __str__(self) -> str:
        """Return a table."""
        seconds = self.compile_seconds or {}
        rows = [
            f"{case:40}{self.values[case]:12.3f}{self.ratios[case]:10.3f}"
            + (f"   compiled in {seconds[case]:.0f} s" if case in seconds else "")
            for case in self.values
        ]
        return "\n".join([f"{self.name} ({self.setting})", f"{'':40}{self.unit:>12}{'ratio':>10}", *rows, ""])


def interleaved(
    cases: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int, repeats: int = 1
) -> dict[str, float]:
    """Return the median time of one call of each case in milliseconds.

    The cases take turns, so that noise of the machine meets all alike.

    Args:
        cases: What to call.
        device: Where it runs; waited for after each turn.
        rounds: Turns of each case, after one that warms up.
        repeats: Calls in one turn.
    """
    times: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for case, run in cases.items():
            started = time.perf_counter()
            for _ in range(repeats):
                run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                times[case].append(1000 * (time.perf_counter() - started) / repeats)
    return {case: median(values) for case, values in times.items()}

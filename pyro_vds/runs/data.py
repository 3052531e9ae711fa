"""The data of a run, and their summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.runs.likelihoods import LIKELIHOODS, check_order, check_targets
from pyro_vds.runs.settings import Settings


@dataclass(frozen=True)
class DataSummary:
    """The properties of the data from which a run builds its network.

    Attributes:
        input_shape: Shape of one input.
        outputs: Number of classes, or of targets of a point.
        classes: Number of classes; ``None`` for regression and counts.
        num_data: Number of training points.
        mean: Mean of each channel or feature, subtracted from the inputs.
        std: Standard deviation of each channel or feature, by which the inputs are divided.
        target_mean: Mean of each column of numbers or counts; ``None`` for classes.
        target_std: Standard deviation of each column of numbers; ``None`` for classes, and for counts, which are not
            standardised. A prediction ``m`` of the network is ``target_mean + target_std * m`` in the units of the
            data.
        class_names: Name of each class in a user's file; ``None`` if the file numbers them from 0.
        feature_names: Name of each feature of a table; ``None`` for other inputs.
    """

    input_shape: tuple[int, ...]
    outputs: int
    classes: int | None
    num_data: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target_mean: tuple[float, ...] | None
    target_std: tuple[float, ...] | None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None

    def agrees_with(self, other: "DataSummary") -> bool:
        """Return whether two summaries can be of the same data: means and deviations agree to one part in 10,000."""
        exact = ("input_shape", "outputs", "classes", "num_data", "class_names", "feature_names")
        if any(getattr(self, name) != getattr(other, name) for name in exact):
            return False
        return all(
            len(own) == len(others) and torch.allclose(torch.tensor(own), torch.tensor(others), rtol=1e-4)
            for own, others in zip(self._moments(), other._moments(), strict=True)
        )

    def _moments(self) -> list[tuple[float, ...]]:
        return [self.mean, self.std, self.target_mean or (), self.target_std or ()]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "DataSummary":
        """Return the summary from JSON that was written from :func:`dataclasses.asdict`.

        Args:
            content: The content of the file.

        Raises:
            TypeError: If an entry is missing or unknown.
        """
        entries: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(**entries)

    @classmethod
    def of(cls, data: DataSet) -> "DataSummary":
        """Summarise a data set."""
        x, y = data.train
        outputs = data.classes or (1 if y.ndim == 1 else y.shape[1])
        target_mean = y.mean(0).flatten() if data.targets == "counts" else data.target_mean
        return cls(
            input_shape=tuple(x.shape[1:]),
            outputs=outputs,
            classes=data.classes,
            num_data=len(x),
            mean=tuple(data.mean.tolist()),
            std=tuple(data.std.tolist()),
            target_mean=None if target_mean is None else tuple(target_mean.tolist()),
            target_std=None if data.target_std is None else tuple(data.target_std.tolist()),
            class_names=data.class_names,
            feature_names=data.feature_names,
        )


def load_data(settings: Settings) -> DataSet:
    """Return the data set of a run, generated and split with its seed.

    Args:
        settings: The settings of a run.

    Raises:
        FileNotFoundError: If files are missing and cannot be downloaded.
        ValueError: If a setting is out of range, or the likelihood is for other targets.
    """
    data = _loaded(settings)
    check_targets(settings.likelihood, settings.data, data.targets)
    check_order(settings.likelihood, data.class_names)
    return data


def _loaded(settings: Settings) -> DataSet:
    """Return the data set of a name."""
    if settings.pixels != "float32" and settings.data not in ("mnist", "fashion_mnist", "svhn", "cifar10"):
        raise ValueError(
            f"Expected pixels float32 for {settings.data}, which has no bytes as pixels, got {settings.pixels}."
        )
    generator = torch.Generator().manual_seed(settings.seed)
    fraction = settings.resolved().validation_fraction or 0.0
    if settings.data == "spirals":
        return _spirals(settings, fraction, generator)
    split: dict[str, Any] = {
        "validation_fraction": fraction, "train_size": settings.train_size, "generator": generator
    }  # fmt: skip
    if settings.data in ("digits", "diabetes", "gap_1d"):
        return getattr(datasets, settings.data)(**split)
    if settings.data == "uci":
        return datasets.uci(settings.data_root, settings.uci_name, settings.split, **split)
    if settings.data in ("npz", "table"):
        return _own(settings, split)
    return getattr(datasets, settings.data)(settings.data_root, pixels=settings.pixels, **split)


def _own(settings: Settings, split: dict[str, Any]) -> DataSet:
    """Return a user's own data, from the file at data_path."""
    ending = "npz" if settings.data == "npz" else "csv"
    if settings.data_path is None:
        raise ValueError(f"Expected --data-path FILE.{ending} for the data set {settings.data}, got none.")
    targets = None if settings.likelihood is None else LIKELIHOODS[settings.likelihood].targets
    if settings.data == "npz":
        if settings.target is not None:
            raise ValueError(f"Expected no --target for npz, whose targets are the array y, got {settings.target}.")
        return datasets.npz(settings.data_path, targets=targets, **split)
    if settings.target is None:
        raise ValueError("Expected --target COLUMN for the data set table, got none.")
    return datasets.table(settings.data_path, settings.target, targets=targets, **split)


def _spirals(settings: Settings, validation_fraction: float, generator: torch.Generator) -> DataSet:
    """Return the spirals, whose size is given by num_points and train_fraction."""
    if settings.train_size is not None:
        raise ValueError(
            f"Expected num_points and train_fraction for the size of spirals, got train_size={settings.train_size}."
        )
    return datasets.spirals(
        settings.num_points,
        rotation=settings.rotation,
        noise=settings.noise,
        noise_kind=settings.noise_kind,
        train_fraction=settings.train_fraction,
        validation_fraction=validation_fraction,
        generator=generator,
    )

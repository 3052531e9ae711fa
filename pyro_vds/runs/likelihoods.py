"""The likelihoods that a run can have: which targets each takes, and how it is made from a summary of the data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pyro_vds.datasets.dataset import TargetKind
from pyro_vds.likelihoods import Classification, Gaussian, Likelihood, NegativeBinomial, Ordinal, Poisson

if TYPE_CHECKING:
    from pyro_vds.runs.data import DataSummary

LikelihoodName = Literal["classification", "ordinal", "gaussian", "poisson", "negative_binomial"]

SMALLEST_MEAN = 1e-3
"""The rate that training starts from if no count is above zero."""


@dataclass(frozen=True)
class LikelihoodKind:
    """A likelihood of a run.

    Attributes:
        targets: The targets that it takes.
        words: What they are, in words.
        make: Makes it for the data of a run.
        outputs: The number of outputs of the network; ``None`` is one for each class or target.
        training: The defaults of training that it needs.
        ordered: Whether the order of the classes counts.
    """

    targets: TargetKind
    words: str
    make: "Callable[[DataSummary], Likelihood]"
    outputs: int | None = None
    training: dict[str, Any] = field(default_factory=dict)
    ordered: bool = False


# The gradient of counts grows with them, without a bound.
_STEPS_OF_COUNTS: dict[str, Any] = {"lr": 0.01, "clip_norm": 1.0}

LIKELIHOODS: dict[LikelihoodName, LikelihoodKind] = {
    "classification": LikelihoodKind("classes", "classes", lambda data: Classification()),
    "ordinal": LikelihoodKind(
        "classes", "ordered classes", lambda data: Ordinal(data.classes or 0), outputs=1, ordered=True
    ),
    "gaussian": LikelihoodKind("numbers", "regression", lambda data: Gaussian(learn_scale=True)),
    "poisson": LikelihoodKind("counts", "counts", lambda data: Poisson(_mean(data)), training=_STEPS_OF_COUNTS),
    "negative_binomial": LikelihoodKind(
        "counts", "counts", lambda data: NegativeBinomial(_mean(data)), training=_STEPS_OF_COUNTS
    ),
}


def likelihood_kind(name: LikelihoodName | None, classes: int | None) -> LikelihoodKind:
    """Return the likelihood of a name, or without one that of classes or of numbers.

    Args:
        name: The setting of a run.
        classes: Number of classes of its data; ``None`` for numbers.
    """
    return LIKELIHOODS[name or ("gaussian" if classes is None else "classification")]


def check_targets(name: LikelihoodName | None, data_name: str, targets: TargetKind) -> None:
    """Raise unless a likelihood takes the targets of a data set.

    Args:
        name: The setting of a run; ``None`` takes those that the data have.
        data_name: The name of the data set.
        targets: What its targets are.

    Raises:
        ValueError: If it takes others.
    """
    if name is None or LIKELIHOODS[name].targets == targets:
        return
    fitting = [other for other, kind in LIKELIHOODS.items() if kind.targets == targets]
    raise ValueError(
        f"Expected the likelihood {' or '.join(fitting)} for {data_name}, whose targets are {targets}, got {name}, "
        f"which is for {LIKELIHOODS[name].targets}."
    )


def check_order(name: LikelihoodName | None, class_names: tuple[str, ...] | None) -> None:
    """Raise if the order of the classes counts, and their names do not say it.

    Args:
        name: The setting of a run.
        class_names: Name of each class; ``None`` for the numbers from 0.

    Raises:
        ValueError: If a likelihood of ordered classes is given texts, which are sorted by letters.
    """
    if name is None or not LIKELIHOODS[name].ordered or class_names is None:
        return
    texts = [text for text in class_names if not text.lstrip("-").isdecimal()]
    if texts:
        raise ValueError(
            f"Expected whole numbers as classes in their order for the likelihood {name}, got names such as "
            f"{texts[0]}, which say no order. Number the classes in the file."
        )


def _mean(data: "DataSummary") -> float:
    means = data.target_mean or (1.0,)
    return max(sum(means) / len(means), SMALLEST_MEAN)

"""What each network of a run takes: the settings that fit it, and the defaults of graphs."""

from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch.optim import Adam

from pyro_vds.backbones.graphs import NAS_BENCH_201, GraphName
from pyro_vds.backbones.named import DEPTHS, TIMM, NetworkName as TorchvisionName
from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import Geometric, Uniform
from pyro_vds.priors.sites import Exchangeable, Price
from pyro_vds.training.config import ANNEALED_SHARE
from pyro_vds.training.recipe import SGD_SETTINGS

if TYPE_CHECKING:
    from pyro_vds.runs.settings import Settings

NetworkName = Literal[TorchvisionName, GraphName]
GRAPHS: tuple[str, ...] = get_args(GraphName)
_NAMES: tuple[str, ...] = (*get_args(TorchvisionName), *GRAPHS)

# The networks that have a setting, which is None for the others.
_OF: dict[str, tuple[str, ...]] = {
    "layers": ("connectivity",),
    "merge": ("connectivity",),
    "pool": ("connectivity",),
    "operations": ("cell",),
    "samples": GRAPHS,
}
# The settings that graphs do not have, with the value that they must keep.
_NOT_OF_GRAPHS: dict[str, Any] = {
    "max_depth": None,
    "widths": None,
    "readout": "all",
    "head_statistics": "per_depth",
    "pretrained": False,
    "frozen": False,
    "image_size": None,
    "learn_prior": False,
    "recalibrate": False,
}
_GUIDES_OF_GRAPHS = ("independent", "mixture", "generator")
_COMPONENTS = {"mixture": 8, "generator": 16}
_GATES = (Price, Exchangeable)
_RATE, _GUIDE_RATE = 0.01, 0.05

DEPTH_PRIOR = Geometric(0.85)
"""The default prior, over depth; it says nothing of choices without an order, and graphs have another in its place."""


def check_network(settings: "Settings") -> None:
    """Raise unless the settings fit the network.

    Args:
        settings: The settings of a run, possibly with fields that are not filled in.

    Raises:
        ValueError: If the network lacks what a setting asks for.
    """
    name = settings.network
    if not name.removeprefix(TIMM) or not (name.startswith(TIMM) or name in _NAMES):
        near = "".join(f" Did you mean {known}?" for known in get_close_matches(name, _NAMES, n=1))
        known = ", ".join(_NAMES)
        raise ValueError(f"Expected a network of {known}, or timm:NAME such as timm:resnet18, got {name}.{near}")
    for setting, networks in _OF.items():
        if name not in networks and getattr(settings, setting) is not None:
            raise ValueError(f"Expected the network {' or '.join(networks)} for {setting}, got {name}.")
    if settings.components is not None and settings.guide not in _COMPONENTS:
        raise ValueError(f"Expected the guide mixture or generator for components, got {settings.guide}.")
    if isinstance(settings.prior, _GATES) and name != "connectivity":
        raise ValueError(
            f"Expected the network connectivity for the prior {settings.prior!r}, which is over edges that are open or "
            f"closed, got {name}. Take another prior, such as Uniform."
        )
    if name in GRAPHS:
        _check_graph(settings)
        return
    if settings.guide in _COMPONENTS:
        raise ValueError(f"Expected the network {' or '.join(GRAPHS)} for the guide {settings.guide}, got {name}.")
    _check_blocks(settings)


def _check_graph(settings: "Settings") -> None:
    name = settings.network
    for setting, value in _NOT_OF_GRAPHS.items():
        given = getattr(settings, setting)
        if given != value:
            hint = " Its size is layers and channels." if name == "connectivity" and value is None else ""
            raise ValueError(f"Expected {setting} {value} for the graph {name}, got {given}. Leave it out.{hint}")
    if settings.guide not in _GUIDES_OF_GRAPHS:
        known = ", ".join(_GUIDES_OF_GRAPHS)
        raise ValueError(f"Expected a guide of {known} for the graph {name}, got {settings.guide}.")
    if settings.guide in _COMPONENTS and settings.guide_update == "closed_form":
        raise ValueError(f"Expected guide_update gradient for the guide {settings.guide}, got closed_form.")
    if settings.rule not in (None, "argmax"):
        raise ValueError(f"Expected the rule argmax for the graph {name}, got {settings.rule}.")
    if settings.prior != DEPTH_PRIOR:
        check_prior_of_graph(settings.prior)


def check_prior_of_graph(prior: Prior) -> None:
    """Raise unless a prior can be over the choices at the edges of a graph.

    Args:
        prior: The prior.

    Raises:
        ValueError: If it is for entries with an order, or has uncertain parameters.
    """
    if isinstance(prior, Geometric) or prior.is_uncertain:
        raise ValueError(
            f"Expected a prior over choices without an order and without uncertain parameters for a graph, such as "
            f"Price, Exchangeable, Uniform or Weights, got {prior!r}."
        )


def usual_prior(settings: "Settings") -> Prior:
    """Return the prior of the settings, or that of a graph in place of the default, which is over depth.

    Args:
        settings: The settings of a run.
    """
    if settings.network not in GRAPHS or settings.prior != DEPTH_PRIOR:
        return settings.prior
    return Price(20.0) if settings.network == "connectivity" else Uniform()


def _check_blocks(settings: "Settings") -> None:
    """Raise unless the settings fit a network of residual blocks: ours, torchvision's or timm's."""
    name, own = settings.network, settings.network == "residual"
    if own and (settings.pretrained or settings.frozen or settings.image_size is not None):
        raise ValueError(
            "Expected a network of torchvision or timm, such as resnet18 or timm:resnet18, for pretrained, frozen or "
            "image_size, got residual."
        )
    if not own and (settings.widths or settings.head_statistics == "shared"):
        raise ValueError(f"Expected the network residual for widths or shared head statistics, got {name}.")
    if settings.pretrained and name == "vit":
        raise ValueError("Expected resnet18, resnet34, resnet50 or vit_b_16 for pretrained weights, got vit.")
    if name.startswith(TIMM) and settings.max_depth is not None:
        raise ValueError(f"Expected no max_depth for {name}, whose depth is its own, got {settings.max_depth}.")
    if name in DEPTHS and name != "vit" and settings.max_depth not in (None, DEPTHS[name]):
        raise ValueError(f"Expected max_depth {DEPTHS[name]} for {name}, got {settings.max_depth}. Leave it out.")


def network_defaults(settings: "Settings", usual: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults that the network decides.

    Args:
        settings: The settings of a run.
        usual: The defaults of preset and data set.
    """
    if settings.network not in GRAPHS:
        found: dict[str, Any] = {"channels": 64, "rule": "95"}
        if settings.network.startswith(TIMM):
            return found | {"max_depth": None}
        return found if settings.network == "residual" else found | {"max_depth": DEPTHS[settings.network]}
    gates = settings.network == "connectivity"
    found = {"max_depth": None, "channels": 8, "rule": "argmax"}
    found |= {"layers": 3, "merge": "squeeze", "pool": ()} if gates else {"operations": NAS_BENCH_201}
    if settings.guide in _COMPONENTS:
        found["components"] = _COMPONENTS[settings.guide]
    return found | _training_of_graph(settings, usual)


def _training_of_graph(settings: "Settings", usual: dict[str, Any]) -> dict[str, Any]:
    """Return how a graph is trained: in closed form while all architectures fit into a step, else from draws.

    No block is nested in another. Adam trains these graphs, which have no batch norm, and SGD does not. A guide that
    learns by gradients waits at first, since a price for open edges closes all of them before they are of use.
    """
    drawing = settings.samples is not None
    found: dict[str, Any] = {"block_rate": "paper", "weight_floor": 0.0}
    if settings.network == "cell" and not drawing and settings.guide_update != "closed_form":
        found["samples"], drawing = 4, True  # a step on all 15,625 cells takes a second
    closed = usual["guide_update"] == "closed_form" and settings.guide == "independent" and not drawing
    found["guide_update"] = "closed_form" if closed else "gradient"
    epochs = settings.max_epochs or usual["max_epochs"]
    if (settings.guide_update or found["guide_update"]) == "gradient":
        found["guide_from"] = 0 if settings.compile else round(ANNEALED_SHARE * (epochs - 1))
        found["guide_lr"] = None if settings.optimizer is not None else _GUIDE_RATE
    if settings.optimizer is None:
        found["optimizer"] = partial(Adam, lr=_RATE)
        found |= dict.fromkeys(("lr", *SGD_SETTINGS))
    return found

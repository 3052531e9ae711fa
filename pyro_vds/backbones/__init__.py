"""Networks that return the outputs of every architecture in one pass."""

from pyro_vds.backbones.from_modules import FromModules
from pyro_vds.backbones.gates import WithGates
from pyro_vds.backbones.graph import SearchGraph
from pyro_vds.backbones.graphs import NAS_BENCH_201, cell, connectivity
from pyro_vds.backbones.hugging_face import from_transformers
from pyro_vds.backbones.lesions import lesion
from pyro_vds.backbones.normalisation import Standardise
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.backbones.probing import Probe, probe
from pyro_vds.backbones.replicated import Replicated
from pyro_vds.backbones.residual import ResidualConvNet, ResidualMLP
from pyro_vds.backbones.sequential import from_sequential
from pyro_vds.backbones.timm_networks import from_timm
from pyro_vds.backbones.vision import from_resnet, from_vit
from pyro_vds.backbones.width import WithWidths

__all__ = [
    "NAS_BENCH_201",
    "FromModules",
    "PerDepth",
    "Probe",
    "Replicated",
    "ResidualConvNet",
    "ResidualMLP",
    "SearchGraph",
    "Standardise",
    "WithGates",
    "WithWidths",
    "cell",
    "connectivity",
    "from_resnet",
    "from_sequential",
    "from_timm",
    "from_transformers",
    "from_vit",
    "lesion",
    "probe",
]

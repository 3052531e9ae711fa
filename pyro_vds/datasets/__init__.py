"""Data sets as tensors in memory, generated or read from files."""

from pyro_vds.datasets.arrays import npz
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.datasets.frames import table
from pyro_vds.datasets.images import Pixels, cifar10, fashion_mnist, mnist, svhn
from pyro_vds.datasets.nas_bench import Benchmark, nas_bench_201, nas_bench_macro
from pyro_vds.datasets.tables import UCIName, diabetes, digits, uci
from pyro_vds.datasets.toy import Noise, gap_1d, gap_1d_mean, spiral_points, spirals

__all__ = [
    "Benchmark",
    "DataSet",
    "Noise",
    "Pixels",
    "UCIName",
    "cifar10",
    "diabetes",
    "digits",
    "fashion_mnist",
    "gap_1d",
    "gap_1d_mean",
    "mnist",
    "nas_bench_201",
    "nas_bench_macro",
    "npz",
    "spiral_points",
    "spirals",
    "svhn",
    "table",
    "uci",
]

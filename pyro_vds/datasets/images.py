"""Image data sets that torchvision downloads and reads."""

import shutil
import tempfile
import urllib.error
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.datasets.jpeg import read_jpeg_npz
from pyro_vds.spaces.typing import TensorPair

# torchvision takes a second to import, so the functions that need it import it.
if TYPE_CHECKING:
    from torchvision.datasets import MNIST


Pixels = Literal["float32", "uint8"]


def mnist(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    pixels: Pixels = "float32",
    generator: torch.Generator,
) -> DataSet:
    """Return MNIST (LeCun et al. 1998): 60,000 and 10,000 grey images of 28x28 pixels, 10 classes.

    Args:
        root: Folder with torchvision's layout, ``root/MNIST/raw``; it may be read-only. Missing files are downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        pixels: ``"float32"``, normalised; or ``"uint8"``, as in the files, for :class:`pyro_vds.Standardise` to
            normalise in the network.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range.
    """
    from torchvision.datasets import MNIST

    return _grey_images(MNIST, Path(root), validation_fraction, train_size, pixels, generator)


def fashion_mnist(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    pixels: Pixels = "float32",
    generator: torch.Generator,
) -> DataSet:
    """Return Fashion-MNIST (Xiao et al. 2017), in the format of :func:`mnist`.

    Args:
        root: Folder with torchvision's layout, ``root/FashionMNIST/raw``; it may be read-only. Missing files are
            downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        pixels: ``"float32"``, normalised; or ``"uint8"``, as in the files, for :class:`pyro_vds.Standardise` to
            normalise in the network.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range.
    """
    from torchvision.datasets import FashionMNIST

    return _grey_images(FashionMNIST, Path(root), validation_fraction, train_size, pixels, generator)


def svhn(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    pixels: Pixels = "float32",
    generator: torch.Generator,
) -> DataSet:
    """Return SVHN (Netzer et al. 2011): 73,257 and 26,032 colour images of 32x32 pixels, 10 classes.

    Args:
        root: Folder of ``train_32x32.mat`` and ``test_32x32.mat``; missing files are downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        pixels: ``"float32"``, normalised; or ``"uint8"``, as in the files, for :class:`pyro_vds.Standardise` to
            normalise in the network.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range.
    """
    root = Path(root)
    from torchvision.datasets import SVHN

    parts = []
    for split in ("train", "test"):
        file = root / f"{split}_32x32.mat"
        with _Explained([file]):
            images = SVHN(root, split=split, download=not file.exists())
        parts.append((torch.from_numpy(images.data), torch.from_numpy(images.labels).long()))
    return _split(parts, validation_fraction, train_size, pixels, generator)


def cifar10(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    pixels: Pixels = "float32",
    generator: torch.Generator,
) -> DataSet:
    """Return CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 colour images of 32x32 pixels, 10 classes.

    Args:
        root: Folder with torchvision's layout, ``root/cifar-10-batches-py``. Without it,
            ``root/CIFAR10-jpeg/cifar10_jpeg.npz`` is read if it is there: the same images with the losses of JPEG, in
            another order. Else the originals are downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        pixels: ``"float32"``, normalised; or ``"uint8"``, as in the files, for :class:`pyro_vds.Standardise` to
            normalise in the network.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range, or the file of JPEG images is damaged.
    """
    folder, jpeg = Path(root) / "cifar-10-batches-py", Path(root) / "CIFAR10-jpeg" / "cifar10_jpeg.npz"
    if jpeg.exists() and not folder.exists():
        parts = read_jpeg_npz(jpeg)
    else:
        from torchvision.datasets import CIFAR10

        parts = []
        for training in (True, False):
            with _Explained([folder]):
                images = CIFAR10(root, train=training, download=not folder.exists())
            parts.append((torch.from_numpy(images.data).permute(0, 3, 1, 2), torch.tensor(images.targets)))
    return _split(parts, validation_fraction, train_size, pixels, generator)


def _grey_images(
    source: "type[MNIST]",
    root: Path,
    validation_fraction: float,
    train_size: int | None,
    pixels: Pixels,
    generator: torch.Generator,
) -> DataSet:
    parts = [(x[:, None], y) for x, y in _read_idx(source, root)]
    return _split(parts, validation_fraction, train_size, pixels, generator)


def _split(
    parts: Iterable[TensorPair],
    validation_fraction: float,
    train_size: int | None,
    pixels: Pixels,
    generator: torch.Generator,
) -> DataSet:
    """Return training and test images of ten classes, given as bytes, as a data set."""
    train, test = ((_pixels(x, pixels), y) for x, y in parts)
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def _read_idx(source: "type[MNIST]", root: Path) -> tuple[TensorPair, TensorPair]:
    """Return both parts; compressed files are unpacked in a temporary folder, since the folder may be read-only."""
    folder = root / source.__name__ / "raw"
    names = [Path(url).name for url, _ in source.resources]
    unpacked = all((folder / name.removesuffix(".gz")).exists() for name in names)
    packed = all((folder / name).exists() for name in names)
    with _Explained([folder / name for name in names]), tempfile.TemporaryDirectory() as scratch:
        if packed and not unpacked:
            shutil.copytree(
                folder, Path(scratch) / source.__name__ / "raw", ignore=lambda _, all_: set(all_) - set(names)
            )
            root = Path(scratch)
        train, test = (source(root, train=part, download=not unpacked) for part in (True, False))
    return (train.data, train.targets.long()), (test.data, test.targets.long())


def _pixels(images: Tensor, pixels: Pixels) -> Tensor:
    """Return pixels as bytes, or as numbers from 0 to 1."""
    if pixels not in get_args(Pixels):
        raise ValueError(f"Expected pixels 'float32' or 'uint8', got {pixels!r}.")
    return images if pixels == "uint8" else images.float() / 255


class _Explained:
    """Turns a failed download into an error that names the missing files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | RuntimeError | urllib.error.URLError):
            missing = [str(file) for file in self.files if not file.exists()] or [str(f) for f in self.files]
            raise FileNotFoundError(
                f"Expected the files {', '.join(missing)}, but they are missing or damaged, and downloading them "
                f"failed. Put them there by hand, or give another data root. The cause: {error}"
            ) from error

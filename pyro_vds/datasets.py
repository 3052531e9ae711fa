"""Data sets as tensors in memory, drawn or read from files.

A leaf: nothing in the package but the command line needs it.
"""

import math
import shutil
import tempfile
import urllib.error
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from torch import Tensor

from pyro_vds.splits import DataSet, split_and_normalise, split_off
from pyro_vds.typing import Data

# torchvision takes a second to import, so the functions that need it import it.
if TYPE_CHECKING:
    from torchvision.datasets import MNIST

Noise = Literal["gaussian", "uniform"]


def spiral_points(
    num_points: int,
    *,
    rotation: float,
    noise: float,
    noise_kind: Noise = "gaussian",
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch 2"], Int[Tensor, " batch"]]:
    """Draw points of two spiral arms, 180 degrees apart, in random order.

    Radius and angle are ``t = sqrt(U(0, 1)) * rotation`` in radians; a point is ``(t cos t, t sin t)`` plus
    noise.

    Args:
        num_points: Number of points, half on each arm.
        rotation: How far an arm turns, degrees.
        noise: Standard deviation of Gaussian noise, or the width of uniform noise on ``[0, noise)``.
        noise_kind: ``"gaussian"``, as the paper says, or ``"uniform"``, as its code does.
        generator: Draws points and noise.

    Raises:
        ValueError: If a number is out of range, or the kind of noise unknown.
    """
    if num_points < 2 or rotation <= 0 or noise < 0:
        raise ValueError(
            f"Expected num_points >= 2, rotation > 0 and noise >= 0, got {num_points}, {rotation} and {noise}."
        )
    if noise_kind not in ("gaussian", "uniform"):
        raise ValueError(f"Expected noise_kind 'gaussian' or 'uniform', got {noise_kind!r}.")
    y = torch.arange(num_points) % 2
    t = torch.rand(num_points, generator=generator).sqrt() * math.radians(rotation)
    clean = torch.stack([t * t.cos(), t * t.sin()], dim=1) * (1 - 2 * y)[:, None]
    draw = torch.randn if noise_kind == "gaussian" else torch.rand
    x = clean + noise * draw(num_points, 2, generator=generator)
    order = torch.randperm(num_points, generator=generator)
    return x[order], y[order]


def spirals(
    num_points: int = 2000,
    *,
    rotation: float = 720.0,
    noise: float = 0.2,
    noise_kind: Noise = "gaussian",
    train_fraction: float = 0.1,
    validation_fraction: float = 0.0,
    generator: torch.Generator,
) -> DataSet:
    """Return the paper's two-armed spirals (its section 3.1): 200 points to train on, 1,800 to test.

    Args:
        num_points: Points in all.
        rotation: How far an arm turns, degrees.
        noise: Standard deviation of the noise (its width if uniform).
        noise_kind: ``"gaussian"``, or ``"uniform"`` as in the paper's code.
        train_fraction: Share of the points to train on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        generator: Draws everything.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = spiral_points(num_points, rotation=rotation, noise=noise, noise_kind=noise_kind, generator=generator)
    train, test = split_off(x, y, 1 - train_fraction, "train_fraction")
    return split_and_normalise(train, test, classes=2, validation_fraction=validation_fraction, generator=generator)


def mnist(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return MNIST (LeCun et al. 1998): 60,000 and 10,000 grey images of 28x28 pixels, 10 classes.

    Args:
        root: Folder with torchvision's layout, ``root/MNIST/raw``; it may be read-only. What is absent is
            downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range.
    """
    from torchvision.datasets import MNIST

    return _grey_images(MNIST, Path(root), validation_fraction, train_size, generator)


def fashion_mnist(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return Fashion-MNIST (Xiao et al. 2017): as :func:`mnist`, in ``root/FashionMNIST/raw``.

    Args:
        root: Folder with torchvision's layout; it may be read-only. What is absent is downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ValueError: If a number is out of range.
    """
    from torchvision.datasets import FashionMNIST

    return _grey_images(FashionMNIST, Path(root), validation_fraction, train_size, generator)


def svhn(
    root: str | Path,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return SVHN (Netzer et al. 2011): 73,257 and 26,032 colour images of 32x32 pixels, 10 classes.

    Args:
        root: Folder of ``train_32x32.mat`` and ``test_32x32.mat``; what is absent is downloaded.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        FileNotFoundError: If files are absent and cannot be downloaded.
        ImportError: If scipy is missing.
        ValueError: If a number is out of range.
    """
    root = Path(root)
    try:
        import scipy.io  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Expected scipy, which reads SVHN's files. Install it: pip install 'pyro-vds[svhn]'."
        ) from error
    from torchvision.datasets import SVHN

    parts = []
    for split in ("train", "test"):
        file = root / f"{split}_32x32.mat"
        with _Explained([file]):
            images = SVHN(root, split=split, download=not file.exists())
        parts.append((torch.from_numpy(images.data).float() / 255, torch.from_numpy(images.labels).long()))
    train, test = parts
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def digits(
    *,
    test_fraction: float = 0.25,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, 10 classes; nothing is downloaded.

    Args:
        test_fraction: Share of the points to test on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(x)).float().reshape(-1, 1, 8, 8) / 16
    order = torch.randperm(len(images), generator=generator)
    train, test = split_off(
        images[order], torch.from_numpy(np.asarray(y)).long()[order], test_fraction, "test_fraction"
    )
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def npz(
    path: str | Path,
    *,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return a user's own data: arrays ``x`` and ``y`` of an npz file, and ``x_test``, ``y_test`` if there.

    Integer ``y`` are classes; floating-point ``y`` are regression targets, ``(N,)`` or ``(N, targets)``, and
    are standardised. ``x`` has shape ``(N, features)``, ``(N, height, width)`` or
    ``(N, channels, height, width)``.

    Args:
        path: The file.
        test_fraction: Share of the points to test on when the file has no test part, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, an array is missing, or shapes or numbers do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected an npz file with arrays x and y at {path}, found none.")
    arrays, found = _read_npz(path)
    if not {"x", "y"} <= arrays.keys() or ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"Expected arrays x and y, with or without x_test and y_test, in {path}; found {found}.")
    train = _tensors(arrays["x"], arrays["y"], path)
    if "x_test" in arrays:
        test = _tensors(arrays["x_test"], arrays["y_test"], path)
        _check_alike(train, test, path)
    else:
        order = torch.randperm(len(train[0]), generator=generator)
        train, test = split_off(train[0][order], train[1][order], test_fraction, "test_fraction")
    classes = None if train[1].is_floating_point() else int(torch.cat([train[1], test[1]]).max()) + 1
    return split_and_normalise(
        train,
        test,
        classes=classes,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def _grey_images(
    source: "type[MNIST]",
    root: Path,
    validation_fraction: float,
    train_size: int | None,
    generator: torch.Generator,
) -> DataSet:
    train, test = _read_idx(source, root)
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def _read_idx(source: "type[MNIST]", root: Path) -> tuple[Data, Data]:
    """Return both parts; compressed files are unpacked elsewhere, as the folder may be read-only."""
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
    return _scaled(train), _scaled(test)


def _scaled(images: "MNIST") -> Data:
    """Return pixels in 0..1 and labels."""
    return images.data[:, None].float() / 255, images.targets.long()


class _Explained:
    """Turns a failed download into an error that names the files and where they belong."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | RuntimeError | urllib.error.URLError):
            missing = [str(file) for file in self.files if not file.exists()] or [str(f) for f in self.files]
            raise FileNotFoundError(
                f"Expected the files {', '.join(missing)}; they are missing or damaged, and downloading them "
                f"failed. Put them there by hand, or give another data root. The cause: {error}"
            ) from error


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of a data set, and the names of all arrays in the file."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names = list(file.files)
            return {name: file[name] for name in ("x", "y", "x_test", "y_test") if name in names}, names
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected a file of numbers, made by numpy.savez(path, x=x, y=y), but cannot read {path}: {error}"
        ) from error


def _check_alike(train: Data, test: Data, path: Path) -> None:
    """Raise ``ValueError`` unless the points of a test part look like those of the training part."""
    expected, got = (f"{list(x.shape[1:])} and {list(y.shape[1:])} {y.dtype}" for x, y in (train, test))
    if expected != got:
        raise ValueError(f"Expected x_test and y_test in {path} like x and y, shapes {expected}; got {got}.")


def _tensors(x: np.ndarray, y: np.ndarray, path: Path) -> Data:
    if x.ndim not in (2, 3, 4) or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"Expected x of shape (N, features), (N, height, width) or (N, channels, height, width) and N targets "
            f"in {path}, got x {x.shape} and y {y.shape}."
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "iuf":
        raise ValueError(
            f"Expected numbers as x, and integer classes or floating-point targets as y in {path}, got x of type "
            f"{x.dtype} and y of type {y.dtype}."
        )
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    bad = int((~inputs.flatten(1).isfinite()).any(1).sum())
    if bad:
        raise ValueError(
            f"Expected finite inputs in {path}, got NaN or infinity in {bad} of {len(x)} points. Remove or impute them."
        )
    integer = np.issubdtype(y.dtype, np.integer)
    targets = torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64 if integer else np.float32))
    return (inputs[:, None] if x.ndim == 3 else inputs), targets

"""The SVHN test digits: a stand-in where SVHN's training images are missing, under a name of its own.

The first 10,000 digits of SVHN's test split, split again into a training and a test part. This is not SVHN's
published protocol, and errors are not comparable with published ones.
"""

from pathlib import Path

import torch

from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import TensorPair

SVHN_TEST_DIGITS = "svhn_test_digits"
LAST_TRAINING_PHOTO = 4032


def svhn_test_digits(settings: Settings) -> DataSet:
    """Return 8,001 digits to train on and 1,999 to test on, with no photograph in both.

    Args:
        settings: Say where the data lie, how many points to train on, and what is split off to validate on.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it does not say which photograph each digit was cut from.
    """
    train, test = ((x.float() / 255, y) for x, y in read_svhn_test_digits(Path(settings.data_root)))
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=settings.validation_fraction or 0.0,
        train_size=settings.train_size,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def read_svhn_test_digits(data_root: Path) -> tuple[TensorPair, TensorPair]:
    """Return the two parts as bytes ``(N, 3, 32, 32)``.

    Digits of one photograph overlap each other's crops, so they are split by photograph.

    Args:
        data_root: Folder of the image data sets; the file is ``data_root/SVHN/test_32x32.mat``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it does not say which photograph each digit was cut from.
    """
    from scipy.io import loadmat  # an optional dependency of the package, which only this function needs

    path = data_root / "SVHN" / "test_32x32.mat"
    if not path.is_file():
        raise FileNotFoundError(f"Expected the SVHN test digits at {path}, found none. Give their folder: --data-root.")
    content = loadmat(path)
    if "photo" not in content:
        raise ValueError(
            f"Expected an array 'photo' with the photograph of each digit in {path}, found none: this is SVHN's own "
            "file. Run on full SVHN instead: --data svhn."
        )
    x = torch.from_numpy(content["X"]).permute(3, 2, 0, 1)
    y = torch.from_numpy(content["y"]).flatten().long() % 10  # SVHN writes the digit 0 as 10
    training = torch.from_numpy(content["photo"].astype("int64")).flatten() <= LAST_TRAINING_PHOTO
    return (x[training], y[training]), (x[~training], y[~training])

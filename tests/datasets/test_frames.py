"""A user's table: columns against pandas and scikit-learn, targets by type, and what cannot be right refused."""

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder

from pyro_vds import datasets
from pyro_vds.datasets import DataSet

SIZE = 60


def frame(**columns) -> pd.DataFrame:
    """Return a table whose column ``row`` counts the rows, so that a row is found again after the split."""
    rng = np.random.default_rng(0)
    usual = {
        "row": np.arange(SIZE) + 0.5,
        "age": rng.integers(20, 80, SIZE),
        "colour": rng.choice(["red", "green", "blue"], SIZE),
        "smoker": rng.random(SIZE) < 0.5,
        "same": np.full(SIZE, 3.25),
        "y": rng.choice(["setosa", "virginica", "versicolor"], SIZE),
    }
    return pd.DataFrame(usual | columns)


def read(path: Path, table: pd.DataFrame | str, target: str = "y", **options) -> DataSet:
    """Write a table, and read it."""
    if isinstance(table, str):
        path.write_text(table)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return datasets.table(path, target, generator=torch.Generator().manual_seed(0), **options)


def rows_of(data: DataSet, part: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    assert data.feature_names is not None
    assert data.feature_names[0] == "row"
    return (part[0] * data.std + data.mean)[:, 0].numpy().round(6).astype(int)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_features_are_those_of_pandas_and_scikit_learn(tmp_path, ending):
    table = frame()
    if ending == "parquet":
        table = table.astype({"colour": "category", "age": "Int64", "smoker": "boolean"})
    data = read(tmp_path / f"data.{ending}", table, validation_fraction=0.25)
    assert data.validation is not None
    parts = (data.train, data.validation, data.test)
    assert [len(x) for x, _ in parts] == [36, 12, 12]
    assert sorted(row for part in parts for row in rows_of(data, part)) == list(range(SIZE))
    kept = table.iloc[rows_of(data, data.train)]
    numbers, texts = ["row", "age", "same"], ["colour", "smoker"]
    encoder = OneHotEncoder(sparse_output=False).fit(kept[texts].astype(str))
    names = ["row", "age", *encoder.get_feature_names_out(texts), "same"]
    assert data.feature_names == tuple(name.replace("_", "=", 1) for name in names)
    for x, y in parts:
        rows = table.iloc[rows_of(data, (x, y))]
        std = kept[numbers].astype(float).std().replace(0, 1)
        scaled = (rows[numbers].astype(float) - kept[numbers].astype(float).mean()) / std
        coded = encoder.transform(rows[texts].astype(str))
        expected = np.column_stack([scaled[["row", "age"]], coded, scaled[["same"]]])
        np.testing.assert_allclose(x.numpy(), expected, atol=1e-9)
        assert data.class_names == ("setosa", "versicolor", "virginica")
        assert [data.class_names[code] for code in y] == rows["y"].tolist()


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_category_outside_the_training_part_is_zeros_in_all_of_them(tmp_path, part):
    found = read(tmp_path / "data.csv", frame(), validation_fraction=0.25)
    rare = rows_of(found, getattr(found, part))[0]
    colours = frame()["colour"].where(np.arange(SIZE) != rare, "violet")
    data = read(tmp_path / "data.csv", frame(colour=colours), validation_fraction=0.25)
    (place,) = np.flatnonzero(rows_of(data, getattr(data, part)) == rare)
    coded = [index for index, name in enumerate(data.feature_names or ()) if name.startswith("colour=")]
    assert "colour=violet" not in (data.feature_names or ())
    assert getattr(data, part)[0][place, coded].tolist() == [0.0] * len(coded)
    assert data.train[0][:, coded].sum(1).tolist() == [1.0] * 36
    assert len(data.mean) == len(data.std) == data.train[0].shape[1] == len(data.feature_names or ())


@pytest.mark.parametrize(
    ("y", "kind", "expected"),
    [
        (np.arange(SIZE) % 3 + 1, None, ("classes", ("1", "2", "3"))),
        (np.arange(SIZE) % 2 == 0, None, ("classes", ("False", "True"))),
        (pd.Categorical(np.array(["b", "a"])[np.arange(SIZE) % 2], ["b", "a"]), None, ("classes", ("a", "b"))),
        (np.arange(SIZE, dtype=np.uint8) % 21, None, ("numbers", None)),
        (np.arange(SIZE) % 3, "numbers", ("numbers", None)),
        (np.arange(SIZE) % 2 * 100.0, "classes", ("classes", ("0", "100"))),
        (np.arange(SIZE) % 3, "counts", ("counts", None)),
        (np.arange(SIZE) / 7, None, ("numbers", None)),
    ],
)
def test_targets_are_classes_or_numbers_by_the_rule_or_as_told(tmp_path, caplog, y, kind, expected):
    with caplog.at_level(logging.INFO, logger="pyro_vds"):
        data = read(tmp_path / "data.parquet", frame(y=y), targets=kind)
    assert (data.targets, data.class_names) == expected
    stated = "whole numbers are classes if at most 20 differ" in caplog.text
    assert stated == (kind is None and np.asarray(y).dtype.kind in "iu")
    if expected[0] == "numbers":
        assert data.target_mean is not None
        assert data.target_std is not None
        found = data.test[1] * data.target_std + data.target_mean
        torch.testing.assert_close(found, torch.from_numpy(np.asarray(y, dtype=float)[rows_of(data, data.test)]))


def test_what_became_of_the_columns_is_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="pyro_vds"):
        read(tmp_path / "data.csv", frame())
    assert caplog.messages == [
        "data.csv: 3 columns of numbers, categories colour (3), smoker (2); y: 3 classes, setosa, versicolor, virginica"
    ]


def test_floats_that_look_like_labels_are_a_regression_with_a_warning(tmp_path):
    with pytest.warns(
        UserWarning, match=r"Column y of .* has floats, .* only the whole numbers 0, 1\. If they are cla"
    ):
        assert read(tmp_path / "data.csv", frame(y=np.arange(SIZE) % 2 * 1.0)).classes is None


def test_the_row_numbers_of_pandas_are_left_out_with_a_warning(tmp_path):
    frame().drop(columns="row").to_csv(tmp_path / "data.csv")
    with pytest.warns(UserWarning, match="first column of .* has no name and numbers the rows; it is not used"):
        data = datasets.table(tmp_path / "data.csv", "y", generator=torch.Generator())
    assert (data.feature_names or ())[0] == "age"


REFUSED = {
    "missing": (
        "a,b,y\n1,x,u\n,NA,v\n,z,u\n",
        r"Expected no missing values in .*, got some of 3 in a \(2\), b \(1\)\. ",
    ),
    "infinite": ("a,y\n1,u\ninf,v\n", "Expected finite numbers in column a of .*, got infinity in 1 of 2 rows"),
    "target": ("Width,Species\n1,u\n2,v\n", r"one of Width, Species, got 'species '\. Did you mean 'Species'"),
    "semicolons": ("a;b\n1;2\n2;3\n", "Columns seem to be separated by semicolons"),
    "single": ("species \nu\nv\n", "Expected columns of inputs beside species"),
    "short": ("a,species \n1,u\n", "Expected at least 2 rows below the header of .*, got 1"),
    "empty": ("", "Expected a table with a header in .*, but cannot read it: No columns"),
    "ragged": ("a,species \n1,u\n1,2,3,4\n", "but cannot read it: .*Expected 2 fields in line 3, saw 4"),
    "numbers": (
        "a,species \n" + "".join(f"{n if n % 9 else '?'},{n % 2}\n" for n in range(40)),
        r"Expected only numbers in column a .* got 5 of 40 rows with texts such as '\?'",
    ),
    "names": (
        "a,species \n" + "".join(f"name {n},{n % 2}\n" for n in range(40)),
        "categories that several rows share in column a of .*, got 40 in 40 rows, such as 'name 0'. Remove the column",
    ),
    "one class": ("a,species \n1,u\n2,u\n", "Expected at least two classes as column species  of .*, got only u"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_right_is_refused(tmp_path, case):
    text, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "data.csv", text, target="y" if ",y\n" in text else "species ")


def test_dates_and_repeated_names_are_refused(tmp_path):
    table = frame(when=pd.date_range("2020-01-01", periods=SIZE))
    with pytest.raises(ValueError, match="truth values in column when of .*, got Timestamp .* turn it into numbers"):
        read(tmp_path / "data.parquet", table)


@pytest.mark.parametrize("name", ["data.npz", "data.xlsx", "data.parquet"])
def test_files_of_another_kind_get_the_advice_for_their_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"junk")
    message = {
        "data.npz": "holds arrays: pyro-vds fit npz --data-path",
        "data.xlsx": "Expected a file that ends in .csv, .tsv, .parquet, got .*data.xlsx. Save the table as csv",
        "data.parquet": "Expected a table with a header in .*, but cannot read it",
    }[name]
    with pytest.raises(ValueError, match=message):
        datasets.table(tmp_path / name, "y", generator=torch.Generator())
    with pytest.raises(
        FileNotFoundError, match="Expected a table at .*none.csv, a csv, tsv or parquet file, found none"
    ):
        datasets.table(tmp_path / "none.csv", "y", generator=torch.Generator())


def test_parquet_without_its_library_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "data.parquet"
    frame().to_parquet(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-vds\[parquet\]'"):
        datasets.table(path, "y", generator=torch.Generator())

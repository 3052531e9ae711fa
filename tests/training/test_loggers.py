"""Files and tools get the numbers of the record: read back from what they wrote."""

import csv
import struct

import oracles
import pandas as pd
import pytest
import sites
import torch

import pyro_vds as vds
from pyro_vds.training.loggers import CSVLogger, MLflowLogger, TensorBoardLogger, WandbLogger

QUIET = {"progress": False, "lr": 0.01}


def trained(logger, epochs=3):
    model, guide, x, y = oracles.problem(2)
    return vds.fit(model, guide, (x, y), max_epochs=epochs, validation=(x, y), on_epoch=logger, **QUIET)


def replicated(logger, count=2, epochs=2):
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 1), count), num_data=6)
    data = torch.randn(6, 2), torch.randint(0, 2, (6,))
    return vds.fit(model, vds.AutoCategorical(model), data, max_epochs=epochs, on_epoch=logger, **QUIET)


def expected(history):
    """Every number of each epoch by the name that loggers give it."""
    found = {name: getattr(history, name) for name in ("elbo", "expected_log_prob", "kl", "gap", "tempered_num_data")}
    found |= {f"validation/{name}": values for name, values in history.validation.items()}
    return found | {f"q/depth/{depth}": values for depth, values in enumerate(history.probs["depth"].T)}


def same(numbers, values):
    return numbers == pytest.approx(values.tolist(), rel=1e-6)


def test_the_file_has_every_epoch_as_soon_as_it_is_over(tmp_path):
    path, lengths = tmp_path / "history.csv", []
    path.write_text("of an older run")

    def count(record):
        lengths.append(len(path.read_text().splitlines()))
        if record.epoch == 2:
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError) as error:
        trained([CSVLogger(path), count], epochs=5)
    assert lengths == [2, 3, 4]
    table = error.value.history.to_dataframe()
    pd.testing.assert_frame_equal(pd.read_csv(path, index_col="epoch"), table, check_exact=True)


def test_the_file_of_replicates_has_a_line_for_each(tmp_path):
    history = replicated(CSVLogger(tmp_path / "history.csv"))
    found = pd.read_csv(tmp_path / "history.csv", index_col=["epoch", "replicate"])
    pd.testing.assert_frame_equal(found, history.to_dataframe(), check_exact=True)
    assert found.loc[(1, 0), "elbo"] == history.elbo[1, 0]


def test_the_file_of_gates_names_each_site(tmp_path):
    model, guide = sites.dense_model(layers=1, num_data=30)
    logger = CSVLogger(tmp_path / "history.csv")
    history = vds.fit(model, guide, sites.data(), max_epochs=2, on_epoch=logger, **QUIET)
    with logger.path.open() as file:
        row = list(csv.DictReader(file))[1]
    for place, site in enumerate(model.space["gate"].plate.labels):
        for entry, label in enumerate((False, True)):
            assert float(row[f"q(gate[{site}]={label})"]) == history.probs["gate"][1, place, entry]


def test_tensorboard_shows_every_number(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLogger(tmp_path) as logger:
        history = trained(logger)
        events = EventAccumulator(str(tmp_path)).Reload()  # before the file is closed
    assert set(events.Tags()["scalars"]) == set(expected(history))
    for name, values in expected(history).items():
        assert [event.step for event in events.Scalars(name)] == [0, 1, 2]
        assert same([event.value for event in events.Scalars(name)], values)


def test_mlflow_has_every_number(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with MLflowLogger("depths", tracking_uri=str(tmp_path / "mlruns")) as logger:
        history = replicated(logger)
    run = logger.client.get_run(logger.run_id)
    assert run.info.status == "FINISHED"
    numbers = expected(history.replicate(1))
    assert {f"replicate_1/{name}" for name in numbers} < set(run.data.metrics)
    for name, values in numbers.items():
        found = logger.client.get_metric_history(logger.run_id, f"replicate_1/{name}")
        assert same([metric.value for metric in found], values)
    again = MLflowLogger("depths", tracking_uri=str(tmp_path / "mlruns"))
    assert again.client.get_run(again.run_id).info.experiment_id == run.info.experiment_id


def wandb_records(path):
    """The records of an offline file of W&B, which has the format of LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, start, whole = path.read_bytes(), 7, b""
    while start < len(content):
        if 32768 - start % 32768 < 7:
            start += 32768 - start % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[start : start + 7])
        whole += content[start + 7 : start + 7 + length]
        start += 7 + length
        if kind in (1, 4):  # complete, or the last part
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def test_wandb_offline_keeps_every_number(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with WandbLogger(mode="offline", dir=str(tmp_path), settings=wandb.Settings(console="off")) as logger:
        history = trained(logger)
    wandb.teardown()  # its process writes the file
    records = wandb_records(next(tmp_path.rglob("*.wandb")))
    items = [record.history.item for record in records if record.HasField("history")]
    found = [{"/".join(i.nested_key) or i.key: float(i.value_json) for i in row} for row in items]
    assert [row["_step"] for row in found] == [0, 1, 2]
    for name, values in expected(history).items():
        assert same([row[name] for row in found], values)


def test_a_gap_that_is_not_known_is_left_out(tmp_path):
    pytest.importorskip("tensorboard")
    seen = []

    class Kept(TensorBoardLogger):
        def log(self, numbers, epoch):
            seen.append(numbers)

    model = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 1), num_data=6, plate=vds.DATA)
    guide = vds.AutoPerInput(model, torch.nn.Linear(2, 2))
    with Kept(tmp_path) as logger:
        history = vds.fit(
            model, guide, (torch.randn(6, 2), torch.randint(0, 2, (6,))), max_epochs=1, on_epoch=logger, **QUIET
        )
    assert bool(history.gap.isnan().all())
    assert "gap" not in seen[0]
    assert seen[0]["elbo"] == history.elbo[0]


@pytest.mark.parametrize(
    ("make", "package"), [(TensorBoardLogger, "tensorboard"), (WandbLogger, "wandb"), (MLflowLogger, "mlflow")]
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, tmp_path, make, package):
    monkeypatch.setitem(
        __import__("sys").modules, "torch.utils.tensorboard" if package == "tensorboard" else package, None
    )
    with pytest.raises(ImportError, match=rf"Install it: pip install pyro-vds\[{package}\]"):
        make(tmp_path) if package == "tensorboard" else make()

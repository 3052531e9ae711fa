"""Files of a run: whole or not at all, and what they say of the machine."""

import stat
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from pyro_vds.runs import files


def test_new_folder_appears_only_when_all_went_well(tmp_path):
    with files.new_folder(tmp_path / "deep" / "run", overwrite=False) as folder:
        (folder / "a").write_text("new")
        assert not (tmp_path / "deep" / "run").exists()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]
    assert (tmp_path / "deep" / "run" / "a").read_text() == "new"


def fail_in_new_folder(path: Path, *, overwrite: bool = False) -> None:
    with files.new_folder(path, overwrite=overwrite) as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt


def partial_folders(parent: Path) -> list[Path]:
    return sorted(parent.glob("run.partial-*"))


def test_failure_leaves_nothing_at_the_path_and_keeps_what_was_written(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_in_new_folder(tmp_path / "run")
    (partial,) = tmp_path.iterdir()
    assert [partial] == partial_folders(tmp_path)
    assert (partial / "a").read_text() == "half"


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_error_says_where_the_half_written_folder_is(tmp_path, kind):
    def fail() -> None:
        with files.new_folder(tmp_path / "run", overwrite=False):
            raise kind("disk full")

    with pytest.raises(kind, match="disk full") as caught:
        fail()
    (partial,) = partial_folders(tmp_path)
    assert caught.value.__notes__ == [f"The files written before the error are in {partial}."]


def test_a_new_attempt_starts_from_an_empty_folder_and_keeps_the_failed_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_in_new_folder(tmp_path / "run")
    with files.new_folder(tmp_path / "run", overwrite=False) as folder:
        assert list(folder.iterdir()) == []
    (partial,) = partial_folders(tmp_path)
    assert (partial / "a").read_text() == "half"


def write_two_at_once(path: Path, *, overwrite: bool) -> None:
    with files.new_folder(path, overwrite=overwrite) as slow:
        (slow / "a").write_text("slow")
        with files.new_folder(path, overwrite=overwrite) as fast:
            (fast / "a").write_text("fast")
            (fast / files.CONFIG).write_text("data: spirals")


def test_a_run_that_appeared_meanwhile_is_not_replaced_unasked(tmp_path):
    with pytest.raises(FileExistsError, match="Expected a new path, but .*run exists") as caught:
        write_two_at_once(tmp_path / "run", overwrite=False)
    assert (tmp_path / "run" / "a").read_text() == "fast"
    (partial,) = partial_folders(tmp_path)
    assert (partial / "a").read_text() == "slow"
    assert caught.value.__notes__ == [f"The files written before the error are in {partial}."]


def test_a_run_that_appeared_meanwhile_is_replaced_when_asked(tmp_path):
    write_two_at_once(tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "a").read_text() == "slow"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_new_folder_has_the_permissions_of_any_other(tmp_path):
    with files.new_folder(tmp_path / "run", overwrite=False):
        pass
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "other")]
    assert modes[0] == modes[1]


@pytest.fixture
def old(tmp_path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")
    (tmp_path / "run" / files.CONFIG).write_text("data: spirals")
    return tmp_path / "run"


def test_existing_folder_is_refused_and_kept(old):
    with pytest.raises(FileExistsError, match="Expected a new path, but .*run exists.* --overwrite"):
        fail_in_new_folder(old)
    assert [p.name for p in old.parent.iterdir()] == ["run"]
    assert (old / "old").read_text() == "old"


def test_overwrite_replaces_the_whole_folder(old):
    with files.new_folder(old, overwrite=True) as folder:
        (folder / "a").write_text("new")
        assert (old / "old").read_text() == "old"
    assert [p.name for p in old.parent.iterdir()] == ["run"]
    assert [p.name for p in old.iterdir()] == ["a"]


def test_failed_overwrite_keeps_the_old_folder(old):
    with pytest.raises(KeyboardInterrupt):
        fail_in_new_folder(old, overwrite=True)
    assert {p.name for p in old.iterdir()} == {"old", files.CONFIG}


def test_overwrite_replaces_nothing_but_a_run(tmp_path):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "thesis").mkdir()
    for path in (tmp_path / "file", tmp_path / "thesis"):
        with pytest.raises(FileExistsError, match="Expected a run folder to replace, but .* is not a run folder"):
            fail_in_new_folder(path, overwrite=True)
        assert path.exists()


def test_check_free_lets_a_new_path_and_overwriting_pass(old):
    files.check_free(old, overwrite=True)
    files.check_free(old.with_name("new"), overwrite=False)
    with pytest.raises(FileExistsError, match="Expected a new path"):
        files.check_free(old, overwrite=False)


def test_atomic_replaces_the_file_at_the_end(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    for content in ("first", "second"):
        with files.atomic(path) as temporary:
            temporary.write_text(content)
            assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def fail_in_atomic(path: Path) -> None:
    with files.atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")


def test_atomic_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        fail_in_atomic(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_environment_names_versions_and_machine():
    found = files.environment(torch.device("cpu"))
    assert found["versions"] == {name: version(name) for name in files.PACKAGES}
    assert found["device"]
    assert found["threads"] == torch.get_num_threads()

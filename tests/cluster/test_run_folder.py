"""The run folder: one cluster at a time, and no ghost of a dead one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.run_folder import AlreadyRunning, RunFolder, RunState
from protocol.errors import InvalidSpec

STATE = RunState(pid=1, run_id="r", endpoint="http://127.0.0.1:1", model="m", ready=True)


def test_second_holder_is_told_who_runs(tmp_path: Path) -> None:
    """While one cluster holds the folder, a second is refused with the first one's endpoint."""
    folder = RunFolder(tmp_path / "run")
    with folder.held():
        folder.write(STATE)
        assert RunFolder(folder.path).running() == STATE
        with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:1.*baton down"), folder.held():
            raise AssertionError("two clusters hold one folder")


def test_state_goes_with_its_holder(tmp_path: Path) -> None:
    """After a clean end nothing says that a cluster runs."""
    folder = RunFolder(tmp_path / "run")
    with folder.held():
        folder.write(STATE)
    assert folder.running() is None
    assert folder.left_behind() is None


def test_killed_holder_is_not_running_but_left_behind(tmp_path: Path) -> None:
    """State without a lock is what a killed run leaves: it counts as stopped, and its id is known."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.write(STATE)
    assert folder.running() is None
    assert folder.left_behind() == STATE
    folder.forget()
    assert folder.left_behind() is None


def test_new_run_starts_from_an_empty_folder(tmp_path: Path) -> None:
    """What earlier runs left in the folder is gone, so it cannot grow without bound; what is not
    Baton's stays, whatever folder was named."""
    folder = RunFolder(tmp_path / "run")
    (folder.path / "ray" / "session").mkdir(parents=True)
    (folder.path / "note").write_text("old")
    with folder.held():
        assert sorted(entry.name for entry in folder.path.iterdir()) == ["lock", "logs", "note"]


def test_long_folder_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that Ray's sockets would not fit below is refused before anything starts."""
    monkeypatch.setenv("BATON_RUN_DIR", "/var/run/" + "x" * 40)
    with pytest.raises(InvalidSpec, match="at most 40 characters"):
        RunFolder.of_user()


def test_unreadable_state_is_no_state(tmp_path: Path) -> None:
    """Another version's or half a state file does not break `baton status`."""
    folder = RunFolder(tmp_path)
    (tmp_path / "state.json").write_text('{"pid": ')
    assert folder.left_behind() is None

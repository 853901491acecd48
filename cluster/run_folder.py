"""Where a running cluster on this machine leaves its traces: one folder, one lock, one state file."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cluster.spec import Spec
from cluster.spec_json import spec_from_json, spec_json
from protocol.errors import BatonError, InvalidSpec

FOLDER_VARIABLE = "BATON_RUN_DIR"
MAX_PATH_CHARS = 40
"""Ray puts Unix sockets some 65 characters deeper, and a socket's path holds 107."""
OWN_FOLDERS = ("ray", "haproxy", "logs")


class RunState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What others may know of the running cluster."""

    pid: int
    """Of the foreground process; SIGTERM ends the cluster."""
    run_id: str
    """Carried in the environment of every process of the run."""
    endpoint: str
    model: str
    """The served name."""
    ready: bool


class AlreadyRunning(BatonError):
    """This run folder has its cluster."""


class RunFolder:
    """One cluster at a time. The lock dies with its process, so a stale folder is never mistaken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = path / "state.json"
        self._lock = path / "lock"
        self._spec = path / "spec.json"
        self._wanted = path / "wanted.json"

    @classmethod
    def of_user(cls) -> RunFolder:
        """The folder named by BATON_RUN_DIR, else one of this user in /tmp. Raises InvalidSpec if
        the name is too long."""
        path = Path(os.environ.get(FOLDER_VARIABLE) or f"/tmp/baton-{os.getuid()}").absolute()  # noqa: S108
        if len(str(path)) > MAX_PATH_CHARS:
            raise InvalidSpec(
                f"{FOLDER_VARIABLE}={path} is too long: Ray's sockets need a folder of at most "
                f"{MAX_PATH_CHARS} characters"
            )
        return cls(path)

    @property
    def logs(self) -> Path:
        """Logs of our own processes."""
        return self.path / "logs"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Owns the folder, emptied of earlier runs. Raises AlreadyRunning, or InvalidSpec if the folder
        is somebody else's."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.is_symlink() or self.path.stat().st_uid != os.getuid():
            raise InvalidSpec(f"{self.path} belongs to another user; set {FOLDER_VARIABLE} to another folder")
        with self._lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise AlreadyRunning(self._sentence()) from held
            self._clear()
            self.logs.mkdir()
            try:
                yield
            finally:
                self.forget()

    def running(self) -> RunState | None:
        """The state of the cluster that runs now; None if none does, whatever was left behind."""
        if not self.is_held():
            return None
        return self._read()

    def left_behind(self) -> RunState | None:
        """The state of a run that was killed before it could tidy up."""
        return None if self.is_held() else self._read()

    def write(self, state: RunState) -> None:
        """Tells others. Only for the holder."""
        _write(self._state, msgspec.json.encode(state))

    def write_spec(self, spec: Spec) -> None:
        """Tells others what the cluster serves now. Only for the holder."""
        _write(self._spec, spec_json(spec))

    def running_spec(self) -> Spec | None:
        """What the cluster serves now."""
        return _read_spec(self._spec)

    def ask_for(self, spec: Spec) -> None:
        """Leaves a spec for the holder to take over."""
        _write(self._wanted, spec_json(spec))

    def is_asked(self) -> bool:
        """Whether a spec waits to be taken over."""
        return self._wanted.exists()

    def take_asked(self) -> Spec | None:
        """The spec that was asked for, once. Only for the holder."""
        wanted = _read_spec(self._wanted)
        self._wanted.unlink(missing_ok=True)
        return wanted

    def _read(self) -> RunState | None:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=RunState)
        except (OSError, msgspec.MsgspecError):
            return None

    def forget(self) -> None:
        """Removes the state of a run that has ended."""
        for file in (self._state, self._spec, self._wanted):
            file.unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Whether a cluster runs here."""
        try:
            with self._lock.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _sentence(self) -> str:
        state = self._read()
        where = f" at {state.endpoint} (process {state.pid})" if state else ""
        return f"a cluster is running already{where}; stop it with `baton down`"

    def _clear(self) -> None:
        """Only what is ours: somebody may have named a folder with other things in it."""
        for name in OWN_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        self.forget()


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_bytes(content)
    draft.replace(file)


def _read_spec(file: Path) -> Spec | None:
    try:
        return spec_from_json(file.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None

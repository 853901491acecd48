"""A directory that can be away: for everybody, or for a node that is dead."""

from __future__ import annotations

from protocol.directory import Directory
from protocol.errors import WorkerLost
from protocol.ids import WorkerIdentity
from protocol.messages import WorkerRecord


class DirectoryOutage:
    """Passes calls on to the directory, unless it is away."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._away = False

    def begin(self) -> None:
        """Every call fails from now on."""
        self._away = True

    def end(self) -> None:
        """It is back."""
        self._away = False

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """As the directory."""
        self._check()
        await self._directory.join(record, lease_s)

    async def leave(self, identity: WorkerIdentity) -> None:
        """As the directory."""
        self._check()
        await self._directory.leave(identity)

    async def members(self) -> tuple[WorkerRecord, ...]:
        """As the directory."""
        self._check()
        return await self._directory.members()

    def _check(self) -> None:
        if self._away:
            raise WorkerLost("the directory is away")

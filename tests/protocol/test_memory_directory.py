"""The directory of the simulation."""

from __future__ import annotations

import pytest

from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.virtual_loop import run_virtual
from tests.protocol.directory_conformance import DIRECTORY_PROMISES, DirectoryPromise, DirectoryWorld


@pytest.mark.parametrize("promise", DIRECTORY_PROMISES, ids=lambda p: p.__name__)
def test_memory_directory(promise: DirectoryPromise) -> None:
    """The memory directory keeps every promise of the seam, on the virtual loop."""

    async def main() -> None:
        clock = LoopClock(offset=100.0)
        directory = MemoryDirectory(clock)
        await promise(DirectoryWorld(directory, directory, clock))

    run_virtual(main())

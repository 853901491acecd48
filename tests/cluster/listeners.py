"""Which addresses the processes of a run listen on. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LISTEN = "0A"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def open_listeners(pids: Iterable[int]) -> list[tuple[str, int]]:
    """(address as the kernel writes it, port) of every TCP socket that one of the processes listens on."""
    sockets = dict(_listening())
    inodes = {inode for pid in pids for inode in _sockets_of(pid)}
    return sorted(address for inode, address in sockets.items() if inode in inodes)


def beyond_loopback(pids: Iterable[int]) -> list[tuple[str, int]]:
    """Those that other machines could reach."""
    return [listener for listener in open_listeners(pids) if listener[0] not in LOOPBACK]


def _listening() -> Iterator[tuple[str, tuple[str, int]]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                address, port = fields[1].split(":")
                yield fields[9], (address, int(port, 16))


def _sockets_of(pid: int) -> Iterator[str]:
    try:
        links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return
    for link in links:
        if link.startswith("socket:["):
            yield link[len("socket:[") : -1]

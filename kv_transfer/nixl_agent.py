"""One NIXL agent over UCX: the only file that knows NIXL's own interface.

NIXL's bindings are used instead of its `nixl_agent` class, which fixes the progress thread's delay
at zero: such a thread spins on a whole core (1.03 CPU-seconds a second were measured when idle).
With a delay it sleeps on file descriptors, wakes on every event, and costs nothing when idle.
Descriptors are built here from addresses; NIXL's own serialised ones are pickles and never used.
"""

from __future__ import annotations

import importlib
import importlib.util
import ipaddress
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NewType

import numpy as np

from kv_transfer.thread_cpu import cpu_seconds, thread_ids
from kv_transfer.transport import ReadState
from protocol.errors import TransferFailed

ListHandle = NewType("ListHandle", int)
TransferHandle = NewType("TransferHandle", int)

BUILDS = ("nixl_cu13", "nixl_cu12")
"""In the order in which NIXL looks for them."""
PROGRESS_DELAY_US = 100_000
"""Upper bound of the progress thread's sleep; an event wakes it at once."""


@dataclass(frozen=True, slots=True)
class Strip:
    """`count` pieces of memory, `size` bytes each, one right after the other."""

    address: int
    size: int
    count: int
    device: int | None = None
    """Index of the CUDA device that holds them, as its process counts; None: host memory."""

    @property
    def region(self) -> tuple[int, int, int, str]:
        """NIXL's descriptor of the whole: address, bytes, device, a name that nobody needs."""
        return self.address, self.size * self.count, self.device or 0, ""

    def rows(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
        """NIXL's strided descriptor: address, bytes, device, stride, count."""
        row = [self.address, self.size, self.device or 0, self.size, self.count]
        return np.array([row], dtype=np.uint64)


def ucx_config(host: str, environ: Mapping[str, str]) -> str:
    """UCX settings for a worker at `host`: loopback alone when the host is, else UCX's own choice.

    Without it UCX listens on every interface. UCX_NET_DEVICES in `environ` wins.
    """
    if "UCX_NET_DEVICES" in environ:
        return ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return "NET_DEVICES=lo" if loopback else ""


@cache
def load_nixl() -> Any:
    """NIXL's bindings. NIXL itself would import torch to ask it for the CUDA version; a process without
    torch has no KV on a device, so any of NIXL's builds will do."""
    for build in () if "torch" in sys.modules else BUILDS:
        if importlib.util.find_spec(build) is not None:
            return importlib.import_module(f"{build}._bindings")
    return importlib.import_module("nixl")._bindings


class NixlAgent:
    """Registered memory, at most one remote agent, and reads from it.

    Calls may block for milliseconds, and all must come from one thread. They raise NIXL's own
    exceptions. The first agent of a process takes about 0.4 s, later ones 10-35 ms.
    """

    def __init__(self, name: str, config: str) -> None:
        self._nixl = load_nixl()
        settings = self._nixl.nixlAgentConfig()
        settings.useProgThread = True
        settings.pthrDelay = PROGRESS_DELAY_US
        settings.syncMode = self._nixl.NIXL_THREAD_SYNC_NONE
        self._agent: Any = self._nixl.nixlAgent(name, settings)
        # A peer's death must show as an error of the read: UCX calls that error handling mode "peer".
        options = {"ucx_error_handling_mode": "peer"}
        if config:
            options["engine_config"] = config
        before = thread_ids()
        self._backends = [self._agent.createBackend("UCX", options)]
        self._progress = thread_ids() - before
        self._remote = ""
        self._lists: list[ListHandle] = []

    def register(self, strips: Sequence[Strip]) -> None:
        """Makes memory readable by others, and a target of own reads."""
        for strip in strips:
            region = self._nixl.nixlRegDList(self._segment(strip), [strip.region])
            self._agent.registerMem(region, self._backends)

    def metadata(self) -> bytes:
        """What another agent loads to read the registered memory."""
        return bytes(self._agent.getLocalMD())

    def load(self, metadata: bytes) -> None:
        """Makes the agent behind `metadata` the one that is read from."""
        name = self._agent.loadRemoteMD(metadata)
        self._remote = name.decode() if isinstance(name, bytes) else str(name)

    def prepare_local(self, strip: Strip) -> ListHandle:
        """A list of own pieces, to be named by index."""
        return self._prepare(self._nixl.NIXL_INIT_AGENT, strip)

    def prepare_remote(self, strip: Strip) -> ListHandle:
        """A list of the remote's pieces; NIXL refuses what the remote has not registered."""
        return self._prepare(self._remote, strip)

    def post_read(
        self, local: ListHandle, local_at: Sequence[int], remote: ListHandle, remote_at: Sequence[int]
    ) -> tuple[TransferHandle, ReadState]:
        """Starts one read of pieces by index; on one host it copies them before it returns."""
        handle = TransferHandle(
            self._agent.makeXferReq(
                self._nixl.NIXL_READ,
                local,
                np.array(local_at, dtype=np.int32),
                remote,
                np.array(remote_at, dtype=np.int32),
                "",
                self._backends,
                False,
            )
        )
        return handle, self._state(self._agent.postXferReq(handle, b""))

    def check(self, handle: TransferHandle) -> ReadState:
        """State of a posted read."""
        return self._state(self._agent.getXferStatus(handle))

    def progress_cpu_s(self) -> float:
        """CPU seconds of the agent's progress thread: over TCP that is where bytes are copied."""
        return cpu_seconds(self._progress)

    def release(self, handle: TransferHandle) -> None:
        """Frees a handle. This cancels nothing: an unfinished read goes on landing."""
        self._agent.releaseXferReq(handle)

    def destroy(self) -> None:
        """Ends the agent: the only act after which nothing of its reads lands any more."""
        if self._agent is None:
            return
        for handle in self._lists:
            self._agent.releasedDlistH(handle)
        self._lists.clear()
        self._agent = None

    def _prepare(self, owner: str, strip: Strip) -> ListHandle:
        handle = ListHandle(
            self._agent.prepXferDlist(owner, self._segment(strip), strip.rows(), self._backends)
        )
        self._lists.append(handle)
        return handle

    def _segment(self, strip: Strip) -> object:
        """NIXL's name of the kind of memory."""
        return self._nixl.DRAM_SEG if strip.device is None else self._nixl.VRAM_SEG

    def _state(self, status: object) -> ReadState:
        if status == self._nixl.NIXL_SUCCESS:
            return ReadState.DONE
        if status == self._nixl.NIXL_IN_PROG:
            return ReadState.PENDING
        raise TransferFailed(f"NIXL reports {status}")

"""The reader agent of one source. One per peer, because destroying it is the only fence there is."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from engine.arena import Arena
from kv_transfer.bounds import GENERATION_BYTES, mismatch
from kv_transfer.copy_budget import CopyCost
from kv_transfer.nixl_agent import ListHandle, NixlAgent, Strip
from kv_transfer.nixl_read import NixlRead
from kv_transfer.transport import ReadState
from protocol.errors import TransferFailed
from protocol.messages import SourceFacts


class NixlPeer:
    """Reads from one source. Methods run in the transfer thread; flags are read from the step loop.

    Any error breaks the whole peer: NIXL reports a failed read while parts of it may still be
    written, so the agent is destroyed first, and only then do the reads become FAILED.
    """

    def __init__(
        self,
        name: str,
        config: str,
        arena: Arena,
        source: SourceFacts,
        now: Callable[[], float],
    ) -> None:
        self._name = name
        self._config = config
        self._arena = arena
        self._source = source
        self._now = now
        self._agent: NixlAgent | None = None
        # A reader asks once per block that it holds a place for, and `open` asks for one more.
        self._staging = np.zeros(max(arena.num_blocks, source.num_blocks) + 1, dtype=np.int64)
        self._free_places = list(range(len(self._staging)))
        self._lists: dict[bool, tuple[ListHandle, ListHandle]] = {}
        """Local and remote list; of generations: True, of blocks: False."""
        self._in_flight: list[NixlRead] = []
        self._progress_s = 0.0
        self.cost = CopyCost()
        self.broken = False
        """No read can succeed any more; a new peer must be made."""
        self.closing = False
        """Set by the step loop: reads that are still queued are not posted."""
        self.check_queued = False

    def open(self) -> None:
        """Creates the agent and makes the connection. Never raises: the peer is broken instead."""
        if self.closing:
            return
        try:
            self._open()
        except Exception as wrong:
            self._break(wrong)
        else:
            # The first read between two agents takes 10-60 ms: better now than when KV waits for it.
            self.post(NixlRead(remote_at=(0,), local_at=(), of_generations=True))

    def post(self, read: NixlRead) -> None:
        """Starts a read, unless the peer is broken or closing: then it is FAILED. Never raises."""
        agent = self._agent
        if agent is None or self.closing or not self._take_places(read):
            read.state = ReadState.FAILED
            return
        self._in_flight.append(read)
        local, remote = self._lists[read.of_generations]
        began = self._now()
        try:
            read.handle, state = agent.post_read(local, read.local_at, remote, read.remote_at)
            read.post_s = self._now() - began
            self._settle(agent, read, state)
        except Exception as wrong:
            self._break(wrong)

    def check(self) -> None:
        """Looks at the reads in flight. Never raises."""
        self.check_queued = False
        for read in tuple(self._in_flight):
            if self._agent is None or read.handle is None:
                return
            try:
                self._settle(self._agent, read, self._agent.check(read.handle))
            except Exception as wrong:
                self._break(wrong)

    def close(self) -> None:
        """Destroys the agent: nothing lands any more. Pending reads are FAILED."""
        self.closing = True
        self._end()

    def _open(self) -> None:
        source, arena = self._source, self._arena
        why = mismatch(source, arena)
        if why is not None:
            raise TransferFailed(why)
        self._agent = agent = NixlAgent(self._name, self._config)
        blocks = Strip(arena.address, arena.block_bytes, arena.num_blocks, arena.device)
        staging = Strip(int(self._staging.ctypes.data), GENERATION_BYTES, len(self._staging))
        agent.register((blocks, staging))
        agent.load(source.agent)
        remote_blocks = Strip(source.arena_address, source.block_bytes, source.num_blocks, source.device)
        remote_numbers = Strip(source.generations_address, GENERATION_BYTES, source.num_blocks)
        self._lists[False] = agent.prepare_local(blocks), agent.prepare_remote(remote_blocks)
        self._lists[True] = agent.prepare_local(staging), agent.prepare_remote(remote_numbers)

    def _take_places(self, read: NixlRead) -> bool:
        """Gives a generation read places of its own: an older read that lands late must not touch them."""
        if not read.of_generations:
            return True
        wanted = len(read.remote_at)
        if wanted > len(self._free_places):
            return False
        read.local_at = tuple(self._free_places[-wanted:])
        del self._free_places[-wanted:]
        return True

    def _settle(self, agent: NixlAgent, read: NixlRead, state: ReadState) -> None:
        if state is not ReadState.DONE or read.handle is None:
            return
        agent.release(read.handle)
        read.handle = None
        self._in_flight.remove(read)
        if read.of_generations:
            read.numbers = tuple(self._staging[list(read.local_at)].tolist())
            self._free_places.extend(read.local_at)
        else:
            self._charge(agent, read)
        read.state = ReadState.DONE

    def _charge(self, agent: NixlAgent, read: NixlRead) -> None:
        """Counts what a read cost this machine: its post, and the progress thread's work since the last."""
        worked = agent.progress_cpu_s()
        seconds = read.post_s + worked - self._progress_s
        self._progress_s = worked
        self.cost = self.cost.plus(len(read.remote_at) * self._arena.block_bytes, seconds)

    def _break(self, why: Exception) -> None:
        worker = self._source.identity.worker
        logging.getLogger(__name__).warning("KV reads from %s failed: %s", worker, why)
        self._end()

    def _end(self) -> None:
        self.broken = True
        agent, self._agent = self._agent, None
        if agent is not None:
            for read in self._in_flight:
                if read.handle is not None:
                    _release(agent, read)
            agent.destroy()
        for read in self._in_flight:
            read.state = ReadState.FAILED
        self._in_flight.clear()


def _release(agent: NixlAgent, read: NixlRead) -> None:
    """Frees a handle that may be unfinished; NIXL may refuse, and the agent's end frees it anyway."""
    if read.handle is not None:
        try:
            agent.release(read.handle)
        except Exception as refused:
            logging.getLogger(__name__).debug("handle not released: %s", refused)
        read.handle = None

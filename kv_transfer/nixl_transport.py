"""Transport over NIXL: one serving agent, one reader agent per peer, one thread that calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from engine.arena import Arena
from kv_transfer.bounds import GENERATION_BYTES, check_blocks, check_pairs
from kv_transfer.copy_budget import CopyCost
from kv_transfer.nixl_agent import NixlAgent, Strip
from kv_transfer.nixl_peer import NixlPeer
from kv_transfer.nixl_read import NixlRead
from kv_transfer.transfer_thread import TransferThread
from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.errors import TransferFailed
from protocol.ids import WorkerIdentity
from protocol.messages import SourceFacts


@dataclass(frozen=True, slots=True)
class NixlSettings:
    """How this worker's agents are made."""

    config: str = ""
    """UCX settings as KEY=VALUE,...: see nixl_agent.ucx_config."""
    start_s: float = 30.0
    """Bound on making the serving agent."""
    fence_s: float = 5.0
    """Bound on destroying an agent; beyond it the process must end."""


class NixlTransport:
    """Reads of other workers' arenas into ours. Posting only enqueues; polling only looks.

    The state of a read that did not finish inside its post is refreshed after a poll that found it
    pending, so that nothing polls but the step loop.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        arena: Arena,
        now: Callable[[], float],
        settings: NixlSettings | None = None,
    ) -> None:
        """Serves the arena at once. `now` is a monotonic clock in seconds that any thread may read.

        Raises EngineFailed when the agent is not there in time, or NIXL's own error.
        """
        self._name = f"{identity.worker}/{identity.incarnation}"
        self._arena = arena
        self._now = now
        self._settings = settings or NixlSettings()
        self._peers: dict[WorkerIdentity, NixlPeer] = {}
        self._reads: dict[ReadId, tuple[NixlPeer | None, NixlRead]] = {}
        self._last_id = 0
        self._closed = False
        self._server: NixlAgent | None = None
        self._metadata = b""
        self._thread = TransferThread("kv-transfer")
        self._thread.finish(self._serve, self._settings.start_s)

    def local_agent(self) -> bytes:
        """Metadata by which others can read this arena."""
        return self._metadata

    def copy_cost(self) -> CopyCost:
        """What reads cost here lately, over all peers."""
        costs = [peer.cost for peer in self._peers.values()]
        return CopyCost(sum(cost.bytes for cost in costs), sum(cost.seconds for cost in costs))

    def connect(self, source: SourceFacts) -> None:
        """Makes an agent for this source, also in place of a broken one. Raises TransferFailed if closed."""
        self._check_open()
        known = self._peers.get(source.identity)
        if known is not None and not known.broken:
            return
        name = f"{self._name} reads {source.identity.worker}/{source.identity.incarnation}"
        peer = NixlPeer(name, self._settings.config, self._arena, source, self._now)
        self._peers[source.identity] = peer
        self._thread.submit(peer.open)

    def read_blocks(self, source: SourceFacts, pairs: Sequence[BlockPair]) -> ReadId:
        """Posts a read; it fails if the peer is not connected. Raises TransferFailed for blocks out
        of range, and once closed."""
        self._check_open()
        check_pairs(source, self._arena, pairs)
        remote, local = [pair.remote for pair in pairs], [pair.local for pair in pairs]
        return self._post(source, NixlRead(remote, local, of_generations=False))

    def read_generations(self, source: SourceFacts, blocks: Sequence[int]) -> ReadId:
        """Posts a read of generation numbers. Raises TransferFailed like read_blocks."""
        self._check_open()
        check_blocks(source, blocks)
        return self._post(source, NixlRead(tuple(blocks), (), of_generations=True))

    def poll(self, read: ReadId) -> ReadState:
        """State of a read. Raises TransferFailed for one that is not known."""
        peer, record = self._known(read)
        if peer is not None and record.handle is not None and not peer.check_queued:
            peer.check_queued = True
            self._thread.submit(peer.check)
        return record.state

    def generations(self, read: ReadId) -> tuple[int, ...]:
        """The numbers of a DONE read_generations. Raises TransferFailed for any other read."""
        _, record = self._known(read)
        if record.state is not ReadState.DONE or not record.of_generations:
            raise TransferFailed("this read has brought no generation numbers")
        return record.numbers

    def forget(self, read: ReadId) -> None:
        """Drops a terminal read. Raises TransferFailed for a pending one: it cannot be cancelled."""
        if self._known(read)[1].state is ReadState.PENDING:
            raise TransferFailed("a pending read cannot be forgotten")
        del self._reads[read]

    def close_peer(self, source: SourceFacts) -> None:
        """Destroys that peer's agent and waits for it.

        Raises EngineFailed when that takes too long: then only the end of this process is a fence.
        """
        peer = self._peers.pop(source.identity, None)
        if peer is not None:
            peer.closing = True
            self._thread.finish(peer.close, self._settings.fence_s)

    def close(self) -> None:
        """Destroys every agent. Raises EngineFailed when one cannot be destroyed in time."""
        if self._closed:
            return
        self._closed = True
        for peer in self._peers.values():
            peer.closing = True
        for peer in self._peers.values():
            self._thread.finish(peer.close, self._settings.fence_s)
        self._peers.clear()
        self._thread.finish(self._stop_serving, self._settings.fence_s)
        self._thread.stop(self._settings.fence_s)

    def _serve(self) -> None:
        arena = self._arena
        self._server = server = NixlAgent(self._name, self._settings.config)
        blocks = Strip(arena.address, arena.block_bytes, arena.num_blocks, arena.device)
        server.register((blocks, Strip(arena.generations_address, GENERATION_BYTES, arena.num_blocks)))
        self._metadata = server.metadata()

    def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.destroy()
            self._server = None

    def _post(self, source: SourceFacts, read: NixlRead) -> ReadId:
        peer = self._peers.get(source.identity)
        self._last_id += 1
        self._reads[ReadId(self._last_id)] = peer, read
        if not read.remote_at:
            read.state = ReadState.DONE
        elif peer is None:
            read.state = ReadState.FAILED
        else:
            self._thread.submit(partial(peer.post, read))
        return ReadId(self._last_id)

    def _known(self, read: ReadId) -> tuple[NixlPeer | None, NixlRead]:
        record = self._reads.get(read)
        if record is None:
            raise TransferFailed(f"no read {read} is known")
        return record

    def _check_open(self) -> None:
        if self._closed:
            raise TransferFailed("the transport is closed")

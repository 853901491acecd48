"""What decode generated is pulled by a prefill worker for the next turn, over real NIXL: same tokens."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.worker_entry import WorkerPlace, build_worker
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import TransferId
from protocol.kv_events import KvEvents, Stored
from protocol.limits import Limits
from protocol.links.link import Link
from protocol.links.tcp import TcpDialer
from protocol.messages import (
    WIRE_VERSION,
    Compute,
    Failed,
    Frame,
    Hello,
    Join,
    Prefill,
    Prefix,
    Refused,
    Reserve,
    StepReport,
    TokenDelta,
    WorkerAddress,
    WorkerRecord,
)
from protocol.request import Assignment
from tests.end_to_end.local_cluster import ANSWER_S, START_S, greedy, tiny_spec
from tests.engine.tiny_models import (
    MARGIN_FLOOR,
    clear_prompt,
    greedy_reference,
    random_prompt,
    write_tiny_model,
)

pytestmark = pytest.mark.nixl

BLOCK = 16
LENGTH, ANSWER, MORE = 50, 40, 10


@dataclass(slots=True)
class Worker:
    """A real worker as its gateway sees it."""

    record: WorkerRecord
    link: Link
    counters: dict[str, int] = field(default_factory=dict)
    stored_keys: int = 0

    @property
    def address(self) -> WorkerAddress:
        """Where others find it."""
        return self.record.address

    async def deltas(self, until: int) -> list[TokenDelta]:
        """Waits for so many tokens."""
        found: list[TokenDelta] = []
        async with asyncio.timeout(ANSWER_S):
            while sum(len(delta.tokens) for delta in found) < until:
                found += self._heard(await self.link.receive())
        return found

    async def told_of(self, blocks: int) -> None:
        """Waits until it has said that it holds so many."""
        async with asyncio.timeout(ANSWER_S):
            while self.stored_keys < blocks or not self.counters:
                self._heard(await self.link.receive())

    def _heard(self, frame: Frame) -> tuple[TokenDelta, ...]:
        assert not isinstance(frame, Failed | Refused), frame
        if isinstance(frame, KvEvents):
            self.stored_keys += sum(len(e.keys) // 8 for e in frame.events if isinstance(e, Stored))
        if not isinstance(frame, StepReport):
            return ()
        if frame.load is not None:
            self.counters = dict(frame.load.counters)
        return frame.deltas


@asynccontextmanager
async def two_workers(model: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    """Prefill and decode, each in a process of its own, and a link to each."""
    clock, spec = LoopClock(), tiny_spec(model, 1, 1)
    directory = MemoryDirectory(clock)
    async with AsyncExitStack() as stack:
        servers = [build_worker(spec, WorkerPlace(role, 0, ""), directory) for role in ("prefill", "decode")]
        for server in servers:
            stack.push_async_callback(server.stop, 2.0)
        records = await asyncio.gather(*(server.start(START_S) for server in servers))
        dialer = TcpDialer(Hello(WIRE_VERSION, "gateway", "test", secrets.token_hex(4)), clock, Limits())
        links = [await dialer.dial(record.address) for record in records]
        for link in links:
            stack.push_async_callback(link.close)
        prefill, decode = (Worker(r, link) for r, link in zip(records, links, strict=True))
        yield prefill, decode


def conversation(model: Path) -> tuple[list[int], list[int], list[int], list[int]]:
    """Two turns with transformers' own greedy answers, every margin above the floor."""
    prompt, answer = clear_prompt(model, LENGTH, ANSWER)
    for seed in range(100, 200):
        following = [*prompt, *answer, *random_prompt(MORE, seed)]
        tokens, margins = greedy_reference(model, following, ANSWER)
        if min(margins) > MARGIN_FLOOR:
            return prompt, answer, following, tokens
    raise AssertionError("no second turn has every margin above the floor")


def a_transfer() -> TransferId:
    """A new id."""
    return TransferId(secrets.token_hex(16))


def said(deltas: list[TokenDelta]) -> list[int]:
    """All tokens, in order."""
    return [token for delta in deltas for token in delta.tokens]


async def test_the_next_turn_computes_only_what_is_new(tmp_path: Path) -> None:
    """The decode worker answers the first turn alone; for the second a prefill worker pulls the KV of its
    prompt and of its answer, and hands over."""
    model = write_tiny_model("llama", tmp_path / "llama")
    prompt, answer, following, expected = conversation(model)
    async with two_workers(model) as (prefill, decode):
        decode.link.send(Compute(Assignment(greedy(prompt, ANSWER), 0, (), ANSWER_S)))
        assert said(await decode.deltas(ANSWER)) == answer
        second, transfer = Assignment(greedy(following, ANSWER), 0, (), ANSWER_S), a_transfer()
        decode.link.send(Reserve(second, transfer, prefill.address))
        prefix = Prefix(a_transfer(), decode.address, len(following) // BLOCK)
        prefill.link.send(Prefill(second, transfer, prefix))
        (first,) = await prefill.deltas(1)
        decode.link.send(Join(second.key, first.tokens[0]))
        rest = await decode.deltas(ANSWER - 1)
        assert [first.tokens[0], *said(rest)] == expected
        held = (LENGTH + ANSWER - 1) // BLOCK
        assert first.cached_tokens == held * BLOCK
        await prefill.told_of(len(following) // BLOCK)
        assert prefill.counters["transferred_blocks"] == held
        assert prefill.counters["failed_transfers"] == 0

"""How fast NixlTransport moves KV blocks between two processes, beside a copy of the same bytes here.

64 MiB in posts of 4 MiB, as the decode worker posts them; source and target blocks scattered; medians.
The memcpy copies the same blocks inside this process, in the same run, between the reads.
Last, a step of many small matrix products, every second one beside reads within the copy budget.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np

from benchmarks.box import hardware
from benchmarks.report import Report, Row
from engine.arena import Arena
from kv_transfer.copy_budget import CopyBudget
from kv_transfer.nixl_transport import NixlSettings, NixlTransport
from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.messages import SourceFacts

TOTAL = 64 << 20
SIZES = (32 << 10, 128 << 10, 512 << 10, 2 << 20)
WAYS = {"NIXL": "NET_DEVICES=lo", "NIXL over TCP": "NET_DEVICES=lo,TLS=tcp"}
"""As UCX chooses on one machine, and as between machines without RDMA."""
POLL_S = 0.00005
GENERATIONS = 32
STEP_PRODUCTS = 60


def filled_arena(size: int) -> Arena:
    """TOTAL bytes in blocks of `size`, the same in every process, and touched: no page fault is measured."""
    count = TOTAL // size
    data = np.random.default_rng(0).integers(0, 255, (count, size), dtype=np.uint8)
    return Arena(data, np.arange(count, dtype=np.int64))


def serve(size: int, config: str) -> None:
    """The source's process: facts on standard output, then alive until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    arena = filled_arena(size)
    identity = WorkerIdentity(WorkerId("source"), Incarnation("1"))
    transport = NixlTransport(identity, arena, time.monotonic, NixlSettings(config))
    facts = SourceFacts(
        identity=identity,
        agent=transport.local_agent(),
        arena_address=arena.address,
        block_bytes=arena.block_bytes,
        num_blocks=arena.num_blocks,
        generations_address=arena.generations_address,
    )
    print(msgspec.json.encode(facts).decode(), file=answers, flush=True)
    sys.stdin.read()
    transport.close()


@contextmanager
def source(size: int, config: str) -> Iterator[SourceFacts]:
    """A source process."""
    command = [sys.executable, "-m", "benchmarks.kv_transfer", "--serve", str(size), config]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the source has no pipes")
        yield msgspec.json.decode(process.stdout.readline(), type=SourceFacts)
        process.stdin.close()


def new_reader(target: Arena, config: str) -> NixlTransport:
    """A transport that reads into `target`."""
    identity = WorkerIdentity(WorkerId("reader"), Incarnation("1"))
    return NixlTransport(identity, target, time.monotonic, NixlSettings(config))


def finish(transport: NixlTransport, reads: list[ReadId]) -> None:
    """Waits for all, as a step loop between two steps would find them."""
    for read in reads:
        while (state := transport.poll(read)) is ReadState.PENDING:
            time.sleep(POLL_S)
        if state is not ReadState.DONE:
            raise RuntimeError("a read failed")
        transport.forget(read)


def posts(size: int, seed: int) -> list[list[BlockPair]]:
    """All blocks once, in posts as long as the limit allows, scattered on both sides."""
    count, per_post = TOTAL // size, max(1, Limits().post_bytes // size)
    dice = np.random.default_rng(seed)
    pairs = [
        BlockPair(int(r), int(w))
        for r, w in zip(dice.permutation(count), dice.permutation(count), strict=True)
    ]
    return [pairs[at : at + per_post] for at in range(0, count, per_post)]


def seconds(began: float) -> float:
    """Since then."""
    return time.perf_counter() - began


@dataclass(slots=True)
class Samples:
    """Seconds, one entry per repeat."""

    whole: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)
    posting: list[float] = field(default_factory=list)
    copying: list[float] = field(default_factory=list)

    def rows(self, work: str, system: str) -> list[Row]:
        """Medians; the first repeat is warm-up."""
        whole, single, asking, posting, copying = (
            statistics.median(values[1:])
            for values in (self.whole, self.single, self.asking, self.posting, self.copying)
        )
        numbers = f"{GENERATIONS} generation numbers at most, until seen done"
        return [
            Row(work, system, "throughput, 64 MiB", TOTAL / whole / 1e9, "GB/s"),
            Row(work, f"memcpy beside {system}", "throughput, 64 MiB", TOTAL / copying / 1e9, "GB/s"),
            Row(work, system, "one post of 4 MiB, until seen done", single * 1e3, "ms"),
            Row(work, system, numbers, asking * 1e3, "ms"),
            Row(work, system, "step loop's time per post", posting * 1e6, "us"),
        ]


def repeat_once(
    samples: Samples, transport: NixlTransport, facts: SourceFacts, target: Arena, local: Arena, seed: int
) -> None:
    """All posts at once, one post, one question for generations, and the memcpy."""
    batches = posts(facts.block_bytes, seed)
    began = time.perf_counter()
    reads = [transport.read_blocks(facts, batch) for batch in batches]
    samples.posting.append(seconds(began) / len(batches))
    finish(transport, reads)
    samples.whole.append(seconds(began))
    for pair in batches[-1]:
        if not np.array_equal(target.data[pair.local], local.data[pair.remote]):
            raise RuntimeError("the bytes are wrong")
    began = time.perf_counter()
    finish(transport, [transport.read_blocks(facts, batches[0])])
    samples.single.append(seconds(began))
    asked = [pair.remote for pair in batches[0][:GENERATIONS]]
    began = time.perf_counter()
    finish(transport, [transport.read_generations(facts, asked)])
    samples.asking.append(seconds(began))
    began = time.perf_counter()
    for batch in batches:
        for pair in batch:
            target.data[pair.local] = local.data[pair.remote]
    samples.copying.append(seconds(began))


def measure(size: int, system: str, config: str, repeats: int) -> list[Row]:
    """One block size by one way."""
    target, local = filled_arena(size), filled_arena(size)
    transport = new_reader(target, config)
    samples = Samples()
    with source(size, config) as facts:
        began = time.perf_counter()
        transport.connect(facts)
        finish(transport, [transport.read_generations(facts, [0])])
        connecting = seconds(began)
        for seed in range(repeats + 1):
            repeat_once(samples, transport, facts, target, local, seed)
        transport.close()
    work = f"blocks of {size >> 10} KiB"
    return [*samples.rows(work, system), Row(work, system, "first contact", connecting * 1e3, "ms")]


def busy_step(matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
    """Seconds of a step that, like a small model's, gives the interpreter lock away often and briefly."""
    began = time.perf_counter()
    for _ in range(STEP_PRODUCTS):
        matrix @ matrix
    return seconds(began)


def measure_step(system: str, config: str, steps: int) -> list[Row]:
    """What budgeted reads cost the step beside which they run."""
    size = 128 << 10
    target = filled_arena(size)
    matrix = np.ones((256, 256), dtype=np.float32)
    transport = new_reader(target, config)
    budget = CopyBudget(Limits().post_bytes)
    alone: list[float] = []
    beside: list[float] = []
    moved = 0
    with source(size, config) as facts:
        transport.connect(facts)
        batches = posts(size, 0)
        finish(transport, [transport.read_blocks(facts, batch) for batch in batches])
        for step in range(steps):
            alone.append(busy_step(matrix))
            count = budget.bytes_for(transport.copy_cost(), statistics.median(alone)) // budget.post_bytes
            chosen = [batches[(step + at) % len(batches)] for at in range(count)]
            reads = [transport.read_blocks(facts, batch) for batch in chosen]
            beside.append(busy_step(matrix))
            finish(transport, reads)
            moved += count * budget.post_bytes
        transport.close()
    work = "step of small products, reads of 128 KiB blocks"
    slowdown = statistics.median(beside) / statistics.median(alone) - 1
    return [
        Row(work, system, "step alone", statistics.median(alone) * 1e3, "ms"),
        Row(work, system, "slower beside reads", slowdown * 100, "%"),
        Row(work, system, "read per step", moved / steps / (1 << 20), "MiB"),
    ]


def main() -> None:
    """Prints a table, then one JSON document."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", nargs=2, metavar=("SIZE", "CONFIG"), help="be the source")
    options.add_argument("--repeats", type=int, default=9)
    options.add_argument("--steps", type=int, default=100)
    chosen = options.parse_args()
    if chosen.serve:
        serve(int(chosen.serve[0]), chosen.serve[1])
        return
    rows: list[Row] = []
    for system, config in WAYS.items():
        for size in SIZES:
            rows += measure(size, system, config, chosen.repeats)
        rows += measure_step(system, config, chosen.steps)
    print(Report("kv_transfer", hardware(), tuple(rows), ()).text())


if __name__ == "__main__":
    main()

"""Measures the prefix index of a gateway: `make bench-index`.

8k-token prompts over a fleet that shares prefixes (index_fleet.py says how). One thread; look-ups are timed
while the index grows from nothing and again when it is full, and memory in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from benchmarks.box import hardware
from benchmarks.busy_view import busy_view
from benchmarks.figures import percentile
from benchmarks.index_fleet import PROMPT, Fleet, Keys, keys_from
from benchmarks.index_memory import SHAPES, fill, fleet_index
from benchmarks.report import Reach, Report, Row, at_most
from benchmarks.stopwatch import Stopwatch
from protocol.ids import WorkerIdentity
from protocol.kv_events import Tier
from router.joint_ask import JointAsk
from router.joint_planner import joint_plans
from router.prefix_index import PrefixIndex

OURS, THEIRS = "Baton", "Dynamo RadixTree"
PLAN, FULL, GROWING, INSERT = (
    "look-up and plan, full",
    "look-up, full",
    "look-up while it grows",
    "insert, 128-512 blocks",
)
ENTRIES, WORKERS, LOOKUPS = 10_000_000, 1000, 20_000
QUICK_ENTRIES, QUICK_LOOKUPS = 1_000_000, 1000
LOOK_EVERY = 4
"""Holdings between two look-ups while the index grows."""
BLOCK_TOKENS = 16
SMALL = 16
"""Blocks of a small event: what a worker tells after a few steps."""
P50_S, P99_S = 0.5e-3, 2e-3
"""Of a whole plan with its look-up, so of the look-up too."""
BYTES = 64


def time_rows(work: str, system: str, watch: Stopwatch) -> list[Row]:
    """Percentiles by wall and by CPU time."""
    kinds = (("", watch.wall_s), (", CPU", watch.cpu_s))
    return [
        Row(work, system, f"p{share * 100:g}{kind}", percentile(seconds, share) * 1e3, "ms")
        for kind, seconds in kinds
        for share in (0.5, 0.99)
    ]


def grow(fleet: Fleet, index: PrefixIndex, known: list[WorkerIdentity], entries: int) -> list[Row]:
    """Fills the index with look-ups in between."""
    inserts, lookups, blocks = Stopwatch(), Stopwatch(), 0
    for number, one in enumerate(fleet.holdings(entries)):
        blocks += len(one.chain)
        inserts.run(index.store, known[one.worker], one.chain, Tier.DEVICE)
        if fleet.conversations and number % LOOK_EVERY == 0:
            prompt = next(fleet.prompts(1, seed=number))
            lookups.run(index.lookup, prompt)
    return [
        *insert_rows(OURS, inserts, blocks),
        *time_rows(INSERT, OURS, inserts),
        Row(INSERT, OURS, "slowest event, CPU", max(inserts.cpu_s) * 1e3, "ms"),
        *time_rows(GROWING, OURS, lookups),
    ]


def insert_rows(system: str, inserts: Stopwatch, blocks: int) -> list[Row]:
    """How fast events come in."""
    return [
        Row(INSERT, system, "rate", blocks / sum(inserts.wall_s), "blocks/s"),
        Row(INSERT, system, "rate, CPU", blocks / sum(inserts.cpu_s), "blocks/s"),
    ]


def when_full(fleet: Fleet, index: PrefixIndex, count: int) -> tuple[list[Row], int]:
    """Look-ups, and the blocks that they found on the best worker."""
    watch, longest = Stopwatch(), 0
    for prompt in fleet.prompts(count, seed=2):
        hits = watch.run(index.lookup, prompt)
        longest += int(hits.blocks.max())
    found = Row(FULL, OURS, "best worker's prefix, mean", longest / count, "blocks")
    return [*time_rows(FULL, OURS, watch), found], longest


def plans_when_full(fleet: Fleet, index: PrefixIndex, workers: int, count: int) -> list[Row]:
    """What a request waits for: its prefix looked up on every worker, and the plan over all of them."""
    view, watch = busy_view(workers), Stopwatch()

    def planned(prompt: Keys, seed: int) -> None:
        matched = index.lookup(prompt).blocks[:workers]
        joint_plans(JointAsk(PROMPT * BLOCK_TOKENS, matched, BLOCK_TOKENS, seed, 2.0, 0.05), view)

    for seed, prompt in enumerate(fleet.prompts(count, seed=3)):
        watch.run(planned, prompt, seed)
    return time_rows(PLAN, OURS, watch)


def changes(index: PrefixIndex, known: list[WorkerIdentity], count: int) -> list[Row]:
    """Small events, their evictions, and workers that leave."""
    stores, evictions, leaves = Stopwatch(), Stopwatch(), Stopwatch()
    for number in range(count):
        chain, worker = keys_from((1 << 43) + number, SMALL), known[number % len(known)]
        stores.run(index.store, worker, chain, Tier.DEVICE)
        evictions.run(index.evict, worker, chain)
    for worker in known[: count // 20]:
        leaves.run(index.leave, worker)
    return [
        *time_rows(f"insert, {SMALL} new blocks", OURS, stores),
        *time_rows(f"evict, {SMALL} blocks", OURS, evictions),
        *time_rows("a worker leaves", OURS, leaves),
    ]


def memory(entries: int, workers: int) -> list[Row]:
    """Each shape in a process of its own."""
    rows = []
    for shape in SHAPES:
        command = [sys.executable, "-m", "benchmarks.index_memory", shape, str(entries), str(workers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        work = memory_work(shape)
        rows += [
            Row(work, OURS, "entries", found["entries"], "pairs"),
            Row(work, OURS, "resident", found["used"] / found["entries"], "bytes/entry"),
            Row(
                work,
                OURS,
                "resident at most, growth included",
                found["peak"] / found["entries"],
                "bytes/entry",
            ),
        ]
    return rows


def memory_work(shape: str) -> str:
    """Its name in the table."""
    return f"memory, blocks {shape}"


def peer(python: str, entries: int, held: int, workers: int, count: int) -> tuple[list[Row], int]:
    """The same by Dynamo, whose tree has a thread of its own and takes events as JSON; `held`: the pairs
    that come of it."""
    command = [python, "-m", "benchmarks.peer_radix_tree", *map(str, (entries, workers, count))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    lookups, inserts = Stopwatch(*found["lookups"]), Stopwatch(*found["inserts"])
    rows = [
        *time_rows(FULL, THEIRS, lookups),
        *time_rows(f"{FULL}, again, result not read", THEIRS, Stopwatch(*found["searches"])),
        Row(FULL, THEIRS, "best worker's prefix, mean", found["longest"] / count, "blocks"),
        *insert_rows(THEIRS, inserts, found["blocks"]),
        Row(memory_work("shared"), THEIRS, "resident", found["used"] / held, "bytes/entry"),
    ]
    return rows, found["longest"]


def reaches(rows: list[Row]) -> list[Reach]:
    """Of ours only."""
    targets = {"p50": P50_S * 1e3, "p50, CPU": P50_S * 1e3, "p99": P99_S * 1e3, "p99, CPU": P99_S * 1e3}
    found = [
        at_most(row.work, f"{row.metric}, ms", row.value, targets[row.metric])
        for row in rows
        if row.system == OURS and row.work in (PLAN, FULL, GROWING) and row.metric in targets
    ]
    return found + [
        at_most(row.work, f"{row.metric}, bytes", row.value, BYTES)
        for row in rows
        if row.system == OURS and row.unit == "bytes/entry"
    ]


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.index")
    parser.add_argument("--quick", action="store_true", help="a small index")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--dynamo-python", help="a python that has Dynamo's runtime, to run its RadixTree")
    args = parser.parse_args()
    entries = QUICK_ENTRIES if args.quick else ENTRIES
    count = QUICK_LOOKUPS if args.quick else LOOKUPS
    machine, began = hardware(), time.perf_counter()
    fill(*fleet_index(args.workers, PROMPT), SHAPES[1], PROMPT)  # first calls import
    fleet = Fleet(args.workers)
    index, known = fleet_index(args.workers, entries)
    rows = grow(fleet, index, known, entries)
    full, longest = when_full(fleet, index, count)
    rows, held = rows + full, index.entries()
    rows += plans_when_full(fleet, index, args.workers, count)
    notes = [f"{held} entries, {args.workers} workers, prompts of {PROMPT} blocks of 16 tokens"]
    rows += changes(index, known, count // 10) + memory(entries, args.workers)
    if args.dynamo_python:
        theirs, same = peer(args.dynamo_python, entries, held, args.workers, count)
        rows += theirs
        notes.append(f"blocks found over all look-ups: {longest} ({OURS}), {same} ({THEIRS})")
    notes.append(f"took {time.perf_counter() - began:.0f} s")
    absent = () if args.dynamo_python else (THEIRS,)
    print(Report("index", machine, tuple(rows), tuple(reaches(rows)), absent, tuple(notes)).text())


if __name__ == "__main__":
    main()

"""What a prefix index adds to the memory of a fresh process: `python -m benchmarks.index_memory SHAPE
ENTRIES WORKERS` prints one JSON object."""

from __future__ import annotations

import json
import sys

from benchmarks.index_fleet import PROMPT, Fleet, keys_from
from benchmarks.resident import resident_bytes
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.kv_events import Tier
from router.prefix_index import IndexLimits, PrefixIndex

SHAPES = ("shared", "alone")
"""The fleet of index_fleet, or every block on one worker only: nothing is shared then."""


def fleet_index(workers: int, entries: int) -> tuple[PrefixIndex, list[WorkerIdentity]]:
    """An empty index that knows the workers and has room for the entries."""
    index = PrefixIndex(IndexLimits(max_blocks=entries, max_workers=workers))
    identities = [WorkerIdentity(WorkerId(f"w{number}"), Incarnation("1")) for number in range(workers)]
    for one in identities:
        index.join(one)
    return index, identities


def fill(index: PrefixIndex, identities: list[WorkerIdentity], shape: str, entries: int) -> None:
    """All the holdings."""
    if shape == "shared":
        for one in Fleet(len(identities)).holdings(entries):
            index.store(identities[one.worker], one.chain, Tier.DEVICE)
    else:
        for number in range(entries // PROMPT):
            worker = identities[number % len(identities)]
            index.store(worker, keys_from(number, PROMPT), Tier.DEVICE)


def main() -> None:
    """Prints entries, and bytes now and at most beyond those before."""
    shape, entries, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    fill(*fleet_index(workers, 10_000), SHAPES[1], 10_000)  # every import and every first call is paid for
    before = resident_bytes()
    index, identities = fleet_index(workers, entries)
    fill(index, identities, shape, entries)
    used, peak = resident_bytes() - before, resident_bytes("VmHWM") - before
    print(json.dumps({"entries": index.entries(), "used": used, "peak": peak}))


if __name__ == "__main__":
    main()

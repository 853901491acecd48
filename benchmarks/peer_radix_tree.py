"""The peer of the prefix index: Dynamo's RadixTree, over the same holdings and prompts. Run by another
environment's python, from the root of this repository: `python -m benchmarks.peer_radix_tree ENTRIES
WORKERS LOOKUPS`. The last line of output is one JSON object.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from benchmarks.index_fleet import Fleet
from benchmarks.resident import resident_bytes
from benchmarks.stopwatch import Stopwatch


def stored(chain: list[int], number: int) -> bytes:
    """An event as its publisher writes it; here a block's local hash is its chain hash too."""
    blocks = [{"block_hash": key, "tokens_hash": key} for key in chain]
    return json.dumps({
        "event_id": number,
        "data": {"stored": {"parent_hash": None, "blocks": blocks}},
    }).encode()  # fmt: skip


def scores(tree: Any, keys: list[int]) -> dict[tuple[int, int], int]:
    """Blocks by worker, as Python can read them."""
    found: dict[tuple[int, int], int] = tree.find_matches(keys).scores
    return found


def main() -> None:
    """Fills the tree, then looks the prompts up."""
    entries, workers, count = (int(word) for word in sys.argv[1:4])
    tree: Any = importlib.import_module("dynamo.llm").RadixTree()
    before, blocks, longest = resident_bytes(), 0, 0
    fleet, inserts, lookups, searches = Fleet(workers), Stopwatch(), Stopwatch(), Stopwatch()
    for number, one in enumerate(fleet.holdings(entries)):
        blocks += len(one.chain)
        inserts.run(tree.apply_event, one.worker, stored(one.chain.tolist(), number))
    used = resident_bytes() - before
    for chain in fleet.prompts(count, seed=2):
        keys = chain.tolist()
        longest += max(lookups.run(scores, tree, keys).values(), default=0)
        searches.run(tree.find_matches, keys)
    print(json.dumps({
        "inserts": [inserts.wall_s, inserts.cpu_s], "lookups": [lookups.wall_s, lookups.cpu_s],
        "searches": [searches.wall_s, searches.cpu_s],
        "blocks": blocks, "longest": longest, "used": used,
    }))  # fmt: skip


if __name__ == "__main__":
    main()

"""The prefix index's benchmark asks about what it has put in."""

from __future__ import annotations

import numpy as np

from benchmarks.index_fleet import PROMPT, SYSTEM, Fleet
from benchmarks.index_memory import fill, fleet_index

WORKERS, ENTRIES = 40, 60_000


def test_the_fleet_holds_what_was_asked_for_and_prompts_find_it() -> None:
    """At least the entries wanted, and not many more; most prompts go on with what a worker has whole."""
    index, known = fleet_index(WORKERS, ENTRIES)
    fill(index, known, "shared", ENTRIES)
    assert ENTRIES <= index.entries() <= ENTRIES + 2 * PROMPT
    fleet = Fleet(WORKERS)
    assert len(list(fleet.holdings(ENTRIES))) > WORKERS
    found = [int(index.lookup(prompt).blocks.max()) for prompt in fleet.prompts(200, seed=1)]
    assert set(found) == {0, SYSTEM, PROMPT}
    assert found.count(PROMPT) > 100


def test_the_same_seed_gives_the_same_fleet() -> None:
    """So that a peer in another process is asked the same."""
    one, other = (list(Fleet(WORKERS).holdings(ENTRIES)) for _ in range(2))
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.worker == theirs.worker and np.array_equal(mine.chain, theirs.chain)


def test_blocks_alone_are_on_one_worker_each() -> None:
    """The shape in which nothing is shared has as many blocks as entries."""
    index, known = fleet_index(WORKERS, ENTRIES)
    fill(index, known, "alone", ENTRIES)
    assert ENTRIES - PROMPT < index.entries() <= ENTRIES

"""What `make bench-int8` compares."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from benchmarks.int8 import BASE, FORMATS, WORKS, reached
from benchmarks.int8_accuracy import accuracy_rows
from benchmarks.int8_model import BLOCK, Work
from benchmarks.report import Row


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
def test_sequences_share_no_block(work: Work) -> None:
    """Each has room for its context and what it computes, in blocks of its own."""
    tables = [list(part.blocks) for part in work.step().slices]
    assert len({block for table in tables for block in table}) == sum(map(len, tables))
    assert all(len(table) * BLOCK >= work.context + work.tokens for table in tables)


def test_every_format_but_the_base_is_judged() -> None:
    """A gain below one is a target missed."""
    rows = [Row("decode", system, "speed-up", 0.9, "x") for system in FORMATS if system != BASE]
    assert [one.met for one in reached([*rows, Row("decode", BASE, "step", 1.0, "ms")])] == [False] * 3


class Exact:
    """Answers with what it is given."""

    def __init__(self, logits: torch.Tensor) -> None:
        self._logits = logits

    def logits(self, tokens: Sequence[int], last: int) -> torch.Tensor:
        """The last rows."""
        return self._logits[-last:]


def test_equal_logits_have_no_error() -> None:
    """And others have one; greedy tokens are compared one by one."""
    logits = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    rows = accuracy_rows("w", "s", Exact(logits), [[5, 6]], [logits])
    assert [row.value for row in rows] == pytest.approx([0.0, 1.0, 0.0])
    rows = accuracy_rows("w", "s", Exact(logits[:, [1, 0]]), [[5, 6]], [logits])
    assert rows[0].value > 0.5 and rows[1].value == 0.0 and rows[2].value > 0.5

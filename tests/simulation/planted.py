"""Bugs that tests switch on to prove that the simulation sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engine.owner import Owner
from gateway import service
from kv_transfer.sink import KvSink
from kv_transfer.slot import Slot
from protocol.request import Assignment, Request


def silent_lapse(patch: pytest.MonkeyPatch) -> None:
    """No bug but bad luck: the word that a lease lapsed never reaches its reader."""
    patch.setattr(KvSink, "_withdrawn", lambda self, slot, message, now: None)


def no_verification(patch: pytest.MonkeyPatch) -> None:
    """The reader believes whatever it read, and hears of no lapse."""
    silent_lapse(patch)
    patch.setattr(KvSink, "_verify", lambda self, slot, now: self._accept(slot))


def free_on_cancel(patch: pytest.MonkeyPatch) -> None:
    """Blocks go back while reads may still land in them."""

    def let_go(self: KvSink, slot: Slot, now: float) -> None:
        self._pool.give_back(Owner.dest(slot.transfer))
        self._end(slot)

    patch.setattr(KvSink, "_let_go", let_go)


def resume_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """A new attempt is told one token less than was sent."""

    def assignment(request: Request, attempt: int, sent: tuple[int, ...], *others: Any) -> Assignment:
        return Assignment(request, attempt, sent[:-1], *others)

    patch.setattr(service, "Assignment", assignment)


@contextmanager
def planted(bug: Callable[[pytest.MonkeyPatch], None]) -> Iterator[None]:
    """The bug, for the time of a block."""
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        yield

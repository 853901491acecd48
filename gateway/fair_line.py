"""In which order those who wait at one gateway pass: fair between tenants, in time within each."""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from gateway.fair_order import Place
from gateway.ticket import Kin, Ticket
from router.overtaking import Overtaking
from router.waiting_line import WaitingLine

AT_ONCE_MOST = 16
"""Who may try in one turn of the event loop: a turn of a busy gateway takes milliseconds."""


@dataclass(slots=True)
class KinLine:
    """Requests of one tenant and priority, and the places that they have in the fair order together."""

    places: list[Place] = field(default_factory=list)
    """Lowest first."""
    line: WaitingLine = field(default_factory=WaitingLine)


class FairLine:
    """The lowest place goes to the tenant that has it; who of that tenant's requests takes it is for the
    WaitingLine to say, so a tenant gains nothing from others by when its requests are due."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the gateway's clock, in seconds."""
        self._now = now
        self._kin: dict[Kin, KinLine] = {}
        self._tickets: dict[int, Ticket] = {}
        self._overtaking = Overtaking()

    def __len__(self) -> int:
        return len(self._tickets)

    def places(self) -> Iterator[Place]:
        """Of all who wait."""
        for kin in self._kin.values():
            yield from kin.places

    def enter(self, ticket: Ticket) -> None:
        """It waits from now on."""
        kin = self._kin.setdefault(ticket.kin, KinLine())
        insort(kin.places, ticket.place)
        self._tickets[ticket.number] = ticket
        if ticket.again:
            kin.line.enter_again(ticket.number)
        else:
            kin.line.enter(ticket.number, ticket.start_by_s, ticket.work_s)

    def first(self, count: int) -> tuple[int, ...]:
        """Numbers of those who may be tried, at most `count`, in order."""
        now = self._now()
        queues = [zip(kin.places, kin.line.first(count, now), strict=False) for kin in self._kin.values()]
        return self._overtaking.bounded(tuple(number for _, number in islice(heapq.merge(*queues), count)))

    def leave(self, ticket: Ticket) -> Place:
        """It has a place at the workers; returns the one that it takes in the fair order: as many of its kin
        that stand before it keep lower ones."""
        kin = self._kin[ticket.kin]
        order = kin.line.first(AT_ONCE_MOST, self._now())
        before = order.index(ticket.number) if ticket.number in order else len(order)
        place = kin.places.pop(min(before, len(kin.places) - 1))
        kin.line.leave(ticket.number)
        self._overtaking.placed(ticket.number)
        self._forget(ticket)
        return place

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no longer, and took no place. Its own goes, or another has taken that: then the last."""
        kin = self._kin[ticket.kin]
        kin.line.withdraw(ticket.number)
        kin.places.remove(ticket.place if ticket.place in kin.places else kin.places[-1])
        self._forget(ticket)

    def _forget(self, ticket: Ticket) -> None:
        del self._tickets[ticket.number]
        if not self._kin[ticket.kin].places:
            del self._kin[ticket.kin]

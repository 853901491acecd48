"""In which order those who wait at one gateway pass: fair between tenants, in time within each."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.fair_order import Place
from gateway.ticket import Group, Ticket
from router.waiting_line import WaitingLine


@dataclass(slots=True)
class Kin:
    """Requests of one tenant and priority, and the places that they have in the fair order together."""

    places: list[Place] = field(default_factory=list)
    """Lowest first."""
    line: WaitingLine = field(default_factory=WaitingLine)
    tickets: dict[int, Ticket] = field(default_factory=dict)


class FairLine:
    """The lowest place goes to the tenant that has it; who of that tenant's requests takes it is for the
    WaitingLine to say, so a tenant gains nothing from others by when its requests are due."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the gateway's clock, in seconds."""
        self._now = now
        self._kin: dict[Group, Kin] = {}

    def __len__(self) -> int:
        return sum(len(kin.places) for kin in self._kin.values())

    def places(self) -> Iterator[Place]:
        """Of all who wait."""
        for kin in self._kin.values():
            yield from kin.places

    def enter(self, ticket: Ticket) -> None:
        """It waits from now on."""
        kin = self._kin.setdefault(ticket.group, Kin())
        insort(kin.places, ticket.place)
        kin.tickets[ticket.number] = ticket
        if ticket.again:
            kin.line.enter_again(ticket.number)
        else:
            kin.line.enter(ticket.number, ticket.start_by_s, ticket.work_s)

    def call(self) -> tuple[Ticket, Place]:
        """Who goes next, and at which place; both leave the line. Somebody has to wait."""
        group, kin = min(self._kin.items(), key=lambda one: one[1].places[0])
        number = kin.line.first(1, self._now())[0]
        kin.line.leave(number)
        ticket, place = kin.tickets.pop(number), kin.places.pop(0)
        self._tidy(group, kin)
        return ticket, place

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no longer, if it still did. Its place goes, or another has taken that: then the last."""
        kin = self._kin.get(ticket.group)
        if kin is None or kin.tickets.pop(ticket.number, None) is None:
            return
        kin.line.withdraw(ticket.number)
        kin.places.remove(ticket.place if ticket.place in kin.places else kin.places[-1])
        self._tidy(ticket.group, kin)

    def _tidy(self, group: Group, kin: Kin) -> None:
        if not kin.places:
            del self._kin[group]

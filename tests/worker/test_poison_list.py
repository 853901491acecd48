"""What a worker passes on between its gateways."""

from __future__ import annotations

from protocol.mail import Outbound, PeerId
from protocol.messages import Poisonous
from worker.poison_list import MAX_REMEMBERED, PoisonList

ONE, OTHER, LATE, READER = PeerId(1), PeerId(2), PeerId(3), PeerId(4)
FOUND = Poisonous(b"digest", 600.0)


def linked() -> PoisonList:
    """With two gateways."""
    found = PoisonList()
    assert found.welcome(ONE, 0.0) == found.welcome(OTHER, 0.0) == []
    return found


def test_news_goes_to_every_other_gateway_once() -> None:
    """Nothing comes back to who said it, and what two gateways know goes round no more."""
    found = linked()
    assert found.hear(FOUND, ONE, 1.0) == [Outbound(OTHER, FOUND)]
    assert found.hear(FOUND, ONE, 2.0) == found.hear(FOUND, OTHER, 2.0) == []


def test_who_comes_later_is_told_for_how_long_it_still_holds() -> None:
    """Until it has lapsed; then it is news again."""
    found = linked()
    found.hear(FOUND, ONE, 1.0)
    assert found.welcome(LATE, 101.0) == [Outbound(LATE, Poisonous(b"digest", 500.0))]
    found.forget(LATE)
    assert found.welcome(LATE, 601.0) == []
    assert len(found.hear(FOUND, ONE, 601.0)) == 2


def test_only_gateways_are_heard() -> None:
    """A reader of KV, or a link that is gone, has nothing to say."""
    found = linked()
    found.forget(ONE)
    assert found.hear(FOUND, READER, 1.0) == found.hear(FOUND, ONE, 1.0) == []


def test_it_is_bounded() -> None:
    """The oldest is forgotten."""
    found = linked()
    for number in range(MAX_REMEMBERED + 1):
        found.hear(Poisonous(str(number).encode(), 600.0), ONE, 0.0)
    told = [mail.frame for mail in found.welcome(LATE, 1.0)]
    assert len(told) == MAX_REMEMBERED
    assert Poisonous(b"0", 599.0) not in told

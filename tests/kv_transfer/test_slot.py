"""A slot's states."""

from __future__ import annotations

import pytest

from kv_transfer.slot import MOVES, InFlight, Slot, SlotState
from kv_transfer.transport import ReadId
from protocol.errors import EngineFailed
from tests.kv_transfer.sink_bench import LINK, SOURCE, address, transfer


def a_slot(state: SlotState = SlotState.HELLO) -> Slot:
    """A slot in that state."""
    return Slot(transfer("t"), address(SOURCE), LINK, (), 0, 5.0, state)


@pytest.mark.parametrize("old", SlotState)
@pytest.mark.parametrize("new", SlotState)
def test_a_slot_moves_by_its_table_alone(old: SlotState, new: SlotState) -> None:
    """A move that is not in the table raises and changes nothing."""
    slot = a_slot(old)
    if new in MOVES[old]:
        slot.move(new)
        assert slot.state is new
    else:
        with pytest.raises(EngineFailed):
            slot.move(new)
        assert slot.state is old


def test_nothing_is_ready_that_was_not_verified() -> None:
    """READY is reached from VERIFY alone; what drains only ends."""
    assert [state for state in SlotState if SlotState.READY in MOVES[state]] == [SlotState.VERIFY]
    assert MOVES[SlotState.DRAIN] == {SlotState.ENDED}
    assert not MOVES[SlotState.ENDED]


def test_the_age_of_a_slot_is_that_of_its_oldest_read() -> None:
    """Reads that were posted later do not make the first one younger; without reads there is no age."""
    slot = a_slot()
    assert slot.oldest_read_s(100.0) == 0.0
    slot.reads = {ReadId(1): InFlight(64, 3.0), ReadId(2): InFlight(64, 9.0)}
    assert slot.oldest_read_s(10.0) == 7.0

"""A lease's states."""

from __future__ import annotations

import pytest

from kv_transfer.lease import MOVES, Lease, LeaseState
from protocol.errors import EngineFailed
from protocol.ids import TransferId


@pytest.mark.parametrize("old", LeaseState)
@pytest.mark.parametrize("new", LeaseState)
def test_a_lease_moves_by_its_table_alone(old: LeaseState, new: LeaseState) -> None:
    """A move that is not in the table raises and changes nothing."""
    lease = Lease(TransferId("t"), old, 0.0)
    if new in MOVES[old]:
        lease.move(new)
        assert lease.state is new
    else:
        with pytest.raises(EngineFailed):
            lease.move(new)
        assert lease.state is old


def test_every_lease_can_end_and_none_comes_back() -> None:
    """Whatever its state, it can be released; after that there is no other."""
    for state in LeaseState:
        assert state is LeaseState.RELEASED or LeaseState.RELEASED in MOVES[state]
    assert not MOVES[LeaseState.RELEASED]

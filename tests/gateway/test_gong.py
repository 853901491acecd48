"""The gong that tells who waits for a place that there may be one."""

from __future__ import annotations

from gateway.gong import Gong


def test_a_ring_is_told_to_everybody_at_once() -> None:
    """In the very moment, each time."""
    gong, heard = Gong(), []
    gong.tell(lambda: heard.append("one"))
    gong.tell(lambda: heard.append("two"))
    gong.ring()
    gong.ring()
    assert heard == ["one", "two", "one", "two"]

"""Pieces on a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import WireError
from protocol.splitter import Splitter, framed


@given(st.lists(st.binary(max_size=40)), st.data())
def test_pieces_survive_any_cut(pieces: list[bytes], data: st.DataObject) -> None:
    """However the bytes come, the pieces come out whole and in order."""
    stream = b"".join(map(framed, pieces))
    splitter = Splitter(40)
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == pieces


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_length_beyond_the_limit_is_refused_before_it_comes(limit: int, size: int) -> None:
    """Four bytes are enough to know; none are taken for a piece that is too long."""
    splitter = Splitter(limit)
    if size <= limit:
        assert splitter.feed(framed(bytes(size))) == [bytes(size)]
        return
    with pytest.raises(WireError, match=f"{size} bytes exceeds the limit of {limit}"):
        splitter.feed(size.to_bytes(4, "big"))

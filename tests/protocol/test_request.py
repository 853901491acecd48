"""Request and assignment: the whole state of a generation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import AttemptKey, RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling

TOKENS = st.lists(st.integers(0, 9)).map(tuple)


def _request(prompt: tuple[int, ...] = (1,)) -> Request:
    return Request(id=RequestId("r"), model="m", prompt=prompt, sampling=Sampling(seed=1), max_tokens=3)


@given(TOKENS, TOKENS)
def test_state_is_request_plus_tokens_sent(prompt: tuple[int, ...], sent: tuple[int, ...]) -> None:
    """A worker that goes on needs KV for the prompt and for every token sent, in this order."""
    assert Assignment(_request(prompt), 0, sent, 1.0).tokens == prompt + sent


def test_key_names_the_attempt() -> None:
    """Two attempts at one request have different keys, so late frames of the older one can be told."""
    first, second = (Assignment(_request(), attempt, (), 1.0).key for attempt in (0, 1))
    assert first == AttemptKey(RequestId("r"), 0)
    assert len({first, second}) == 2


def test_request_cannot_be_changed() -> None:
    """What a door has validated stays valid: nothing in it can be assigned to."""
    for field in Request.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(_request(), field, None)


def test_equal_requests_are_equal() -> None:
    """Requests compare and hash by value, as after a trip over the wire."""
    assert _request() == _request()
    assert hash(_request()) == hash(_request())

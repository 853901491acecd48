"""The reason why a replica could not start reaches the operator through Serve's texts."""

from __future__ import annotations

import traceback

from hypothesis import given
from hypothesis import strategies as st

from cluster.start_failure import StartFailure, find_failure, last_line
from protocol.errors import EngineFailed, UnsupportedModel


@given(st.text(), st.text() | st.just('"]]]"\n'))
def test_reason_survives_a_formatted_traceback(who: str, message: str) -> None:
    """Whatever the message contains, the same error comes out of Serve's formatted traceback."""
    try:
        raise RuntimeError("first") from StartFailure(who, UnsupportedModel(message))
    except RuntimeError as error:
        text = "The deployment failed to start 1 times in a row. Error:\n" + "".join(
            traceback.format_exception(error)
        )
    found = find_failure(text)
    assert isinstance(found, UnsupportedModel)
    assert found.message == f"{who}: {message}"


@given(st.text())
def test_foreign_failure_is_one_line(text: str) -> None:
    """A failure that is none of ours is told in one line, whatever Serve says of it."""
    assert find_failure(text) is None
    error = last_line(text)
    assert isinstance(error, EngineFailed)
    assert error.message
    assert len(error.message.splitlines()) == 1

"""The error tree: what a client sees, and what survives the wire."""

from __future__ import annotations

import re

import grpc
import pytest

import protocol.errors
from protocol.errors import BatonError, Busy, InvalidRequest, error_from_code


def _tree(root: type[BatonError]) -> list[type[BatonError]]:
    ours = [kind for kind in root.__subclasses__() if kind.__module__ == protocol.errors.__name__]
    return [root, *(kind for child in ours for kind in _tree(child))]


ALL = _tree(BatonError)


def test_codes_are_unique() -> None:
    """An error travels as its code alone, so no two kinds share one."""
    assert len({kind.code for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_error_survives_the_wire(kind: type[BatonError]) -> None:
    """Code and message rebuild the same kind of error."""
    rebuilt = error_from_code(kind.code, "what went wrong", retry_after_s=2.0)
    assert type(rebuilt) is kind
    assert (rebuilt.message, rebuilt.retry_after_s) == ("what went wrong", 2.0)


def test_unknown_code_is_still_one_of_ours() -> None:
    """A peer of another version may send a code that we do not know: it is never lost, nor raised anew."""
    rebuilt = error_from_code("from_the_future", "no idea")
    assert type(rebuilt) is BatonError
    assert "from_the_future" in rebuilt.message and "no idea" in rebuilt.message


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_statuses_are_real(kind: type[BatonError]) -> None:
    """HTTP statuses are error statuses, gRPC statuses exist, and after a 4xx no retry helps, but for
    429, which is a tenant's own 503."""
    assert 400 <= kind.http_status < 600
    assert hasattr(grpc.StatusCode, kind.grpc_status)
    assert (kind.http_status < 500 and kind.http_status != 429) is issubclass(kind, InvalidRequest)
    assert not (issubclass(kind, InvalidRequest) and kind.retry_helps)


def test_drawing_of_the_tree_is_the_tree() -> None:
    """The module's docstring shows every error with its status, in its place."""
    drawn = re.findall(r"^(?:│   |    )*[├└]── (\w+) +(\d+)", protocol.errors.__doc__ or "", re.MULTILINE)
    assert drawn == [(kind.__name__, str(kind.http_status)) for kind in ALL[1:]]


def test_busy_is_an_overload() -> None:
    """Whoever handles "no place" handles one worker's refusal as well."""
    assert isinstance(error_from_code("worker_busy", ""), Busy)
    assert issubclass(Busy, protocol.errors.Overloaded)

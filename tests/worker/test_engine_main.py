"""The engine process's way to its socket."""

from __future__ import annotations

import fcntl
import socket

import pytest

from worker.engine_main import SELECT_LIMIT, SOCKET_VARIABLE, inherited


@pytest.mark.parametrize("lowest", [3, SELECT_LIMIT])
def test_the_socket_can_be_waited_for_whatever_its_number(lowest: int) -> None:
    """A parent with many descriptors open hands over a high one; select would refuse it."""
    ours, theirs = socket.socketpair()
    number = fcntl.fcntl(theirs, fcntl.F_DUPFD, lowest)
    theirs.close()
    with ours, inherited({SOCKET_VARIABLE: str(number)}) as end:
        ours.sendall(b"word")
        assert (end.fileno() < SELECT_LIMIT, end.get_inheritable()) == (True, False)
        assert end.recv(4) == b"word"

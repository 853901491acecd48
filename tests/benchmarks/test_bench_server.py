"""Servers under measurement: started, accounted, gone afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.process_cpu import kind_of, marked_processes, spent
from benchmarks.server import ServerCommand, ServerFailed, running_server
from benchmarks.stream_client import Endpoint
from cluster.preflight import free_port

WITH_CHILD = """
import subprocess, sys, http.server
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def command(script: str) -> ServerCommand:
    """A server made of a script."""
    port = free_port("127.0.0.1")
    return ServerCommand("fake", (sys.executable, "-c", script, str(port)), Endpoint(port, "m"), "/")


def test_a_server_is_gone_with_its_children(tmp_path: Path) -> None:
    """The next system is measured on a machine that the last one has left."""
    with running_server(command(WITH_CHILD), tmp_path / "log") as server:
        assert len(marked_processes(server.mark)) == 2
        assert sum(server.cpu().values()) >= 0
    assert marked_processes(server.mark) == []


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A peer that cannot start costs no patience and hides no reason."""
    with pytest.raises(ServerFailed, match="no such model"):
        with running_server(command("raise SystemExit('no such model')"), tmp_path / "log"):
            pass


def test_processes_are_known_by_their_command_line() -> None:
    """CPU is reported by what a process is for."""
    assert kind_of("ray::ServeReplica:baton:Gateway") == "gateway"
    assert kind_of("ray::ServeReplica:baton:DecodePool") == "worker I/O"
    assert kind_of('python -m cluster.engine_entry {"role":"prefill","identity":1}') == "engine prefill"
    assert kind_of("raylet --session ray") == "Ray"
    assert kind_of("sleep 1") == "other"
    assert spent({"Ray": 1.0}, {"Ray": 3.0, "gateway": 1.0}) == {"Ray": 2.0, "gateway": 1.0}

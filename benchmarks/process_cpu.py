"""CPU seconds of all processes of a server, however they hang together: found by a mark in their
environment, which children inherit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MARK = "BATON_BENCH_MARK"

KINDS = (
    ("ServeReplica:baton:Gateway", "gateway"),
    ("ServeReplica:baton:", "worker I/O"),
    ("cluster.engine_entry", "engine"),
    ("VLLM::EngineCore", "engine"),
    ("VLLM::Worker", "engine"),
    ("benchmarks.plain_server", "gateway and worker I/O"),
    ("vllm", "API server"),
    ("dynamo.frontend", "frontend"),
    ("dynamo.mocker", "workers"),
    ("benchmarks.peer_dynamo", "launcher"),
    ("ray", "Ray"),
    ("gcs_server", "Ray"),
    ("plasma", "Ray"),
    ("baton", "baton up"),
)
"""The first mark that the command line contains says what a process is."""


def marked_processes(mark: str) -> list[int]:
    """Pids of the living processes that carry the mark, in order."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry.name))
    return sorted(found)


def cpu_by_kind(mark: str) -> dict[str, float]:
    """CPU seconds so far, user and system, of the living processes by what they are."""
    totals: dict[str, float] = {}
    for pid in marked_processes(mark):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            seconds = cpu_s(pid)
        except OSError:
            continue  # it ended just now
        kind = kind_of(line)
        totals[kind] = totals.get(kind, 0.0) + seconds
    return totals


def kind_of(command_line: str) -> str:
    """What a process is."""
    for mark, kind in KINDS:
        if mark in command_line:
            role = next((role for role in ("prefill", "decode") if f'"role":"{role}"' in command_line), "")
            return f"{kind} {role}".strip()
    return "other"


def cpu_s(pid: int) -> float:
    """CPU seconds of one process, its threads included. Raises OSError when it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used in between."""
    return {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}

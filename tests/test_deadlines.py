"""Every await on a peer has a deadline: in the same function, or by a rule that is written down here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "protocol",
    "engine",
    "kv_transfer",
    "worker",
    "prefill_worker",
    "decode_worker",
    "router",
    "gateway",
    "cluster",
)
PEER_CALLS = frozenset(
    # links and channels, the directory, a Ray actor, an engine process, a Redis client
    {"dial", "receive", "read", "listen", "write", "introduce", "end_writing", "done_writing", "disconnect"}
    | {"delivered", "all_delivered"}
    | {"join", "leave", "members", "remote"}
    | {"get", "set", "mget", "time", "delete", "zrange", "watch", "execute"}
    | {"close", "aclose", "stop", "start", "finished", "wait"}
)
"""Names of calls that wait for somebody else, on whatever object: too many are better than too few."""
SCOPES = frozenset({"deadline", "session", "_answered"})
"""Context managers that are deadlines: a clock's, a Redis connection's, the Ray directory's."""

LIVENESS = "the session closes a link that is silent for Limits.silence_s, and that ends this wait"
OWN_END = "ends by itself within Limits.report_every_s: a goodbye has a deadline inside SessionLink"
CALLER = "its only callers put a deadline around it"
OUR_SIDE = "waits for a task or an event of this process, which its own owner ends"
ARGUMENT = "the deadline is its argument"
WATCHED = "EngineWatch ends an engine that is silent"

ELSEWHERE: dict[tuple[str, str, str], str] = {
    ("cluster/gateway_entry.py", "stop", "close"): OUR_SIDE,
    ("cluster/gateway_entry.py", "stop", "stop"): "Fleet.stop closes each link within peer_deadline_s",
    ("cluster/gateway_entry.py", "build_gateway", "start"): OUR_SIDE,
    ("cluster/redis_directory.py", "close", "close"): OUR_SIDE,
    ("cluster/serve_app.py", "__init__", "start"): ARGUMENT,
    ("cluster/serve_app.py", "__del__", "stop"): ARGUMENT,
    ("cluster/serve_app.py", "_leave", "stop"): ARGUMENT,
    ("cluster/serve_app.py", "_end_with_engine", "finished"): "the life of the worker is this wait",
    ("gateway/store/redis_connection.py", "close", "aclose"): OUR_SIDE,
    ("gateway/store/redis_store.py", "close", "close"): OUR_SIDE,
    ("gateway/service.py", "generate", "aclose"): OUR_SIDE,
    ("gateway/turn.py", "called", "wait"): "Placing.place waits within max_place_wait_s",
    ("gateway/store/sqlite_store.py", "get", "execute"): "the executor is given a deadline",
    ("gateway/worker_link.py", "pump", "receive"): LIVENESS,
    ("gateway/worker_link.py", "disconnect", "close"): CALLER,
    ("protocol/links/handshake.py", "dial_over", "introduce"): "has the deadline of a greeting inside",
    ("protocol/links/handshake.py", "_serve", "introduce"): "has the deadline of a greeting inside",
    ("protocol/links/handshake.py", "dial_over", "close"): OWN_END,
    ("protocol/links/handshake.py", "stop", "close"): OWN_END,
    ("protocol/links/handshake.py", "_serve", "close"): OWN_END,
    ("protocol/links/memory.py", "stop", "stop"): OUR_SIDE,
    ("protocol/links/tcp.py", "stop", "stop"): OUR_SIDE,
    ("protocol/links/tcp_channel.py", "write", "wait"): LIVENESS,
    ("protocol/links/session_link.py", "receive", "wait"): LIVENESS,
    ("protocol/links/session_link.py", "_speak", "wait"): LIVENESS,
    ("protocol/links/session_link.py", "_speak", "write"): LIVENESS,
    ("protocol/links/session_link.py", "_listen", "listen"): LIVENESS,
    ("protocol/links/session_link.py", "_finish", "close"): OUR_SIDE,
    ("worker/engine_process.py", "receive", "receive"): WATCHED,
    ("worker/engine_process.py", "_first_word", "receive"): CALLER,
    ("worker/engine_watch.py", "run", "stop"): ARGUMENT,
    ("worker/inline_host.py", "receive", "wait"): WATCHED,
    ("worker/mail_channel.py", "receive", "wait"): WATCHED,
    ("worker/registration.py", "leave", "leave"): "_attempt puts a deadline around what it is given",
    ("worker/registration.py", "_renew", "join"): "_attempt puts a deadline around what it is given",
    ("worker/switchboard.py", "_carry", "receive"): LIVENESS,
    ("worker/worker_server.py", "start", "start"): ARGUMENT,
    ("worker/worker_server.py", "start", "stop"): ARGUMENT,
    ("worker/worker_server.py", "stop", "stop"): ARGUMENT,
    ("worker/worker_server.py", "drain", "all_delivered"): "Switchboard waits no longer than silence_s",
    ("worker/worker_server.py", "drain", "leave"): "Registration puts a deadline around it",
    ("worker/worker_server.py", "stop", "leave"): "Registration puts a deadline around it",
    ("worker/worker_server.py", "stop", "wait"): OUR_SIDE,
    ("worker/worker_server.py", "finished", "wait"): "the life of the worker is this wait",
    ("worker/worker_server.py", "_pump", "receive"): WATCHED,
    ("worker/worker_server.py", "_close", "close"): "Switchboard closes each link within peer_deadline_s",
    ("worker/worker_server.py", "_close", "leave"): "Registration puts a deadline around it",
    ("worker/worker_server.py", "_close", "stop"): ARGUMENT,
}
"""(file, function, call) -> what bounds it instead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One await of a call that may be a peer's."""

    file: str
    function: str
    call: str
    line: int

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it is, as ELSEWHERE names it."""
        return (self.file, self.function, self.call)


def bare_waits(file: str, source: str) -> Iterator[Wait]:
    """Awaits of peers that no deadline of the same function encloses. A call whose coroutine is handed
    on within an await counts as awaited there."""
    yield from _bare(ast.parse(source), file, "", bounded=False)


def _bare(node: ast.AST, file: str, function: str, *, bounded: bool) -> Iterator[Wait]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.AsyncFunctionDef | ast.FunctionDef):
            yield from _bare(child, file, child.name, bounded=False)
            continue
        if isinstance(child, ast.Await) and not bounded:
            for call in _peer_calls(child):
                yield Wait(file, function, call, child.lineno)
        within = isinstance(child, ast.AsyncWith) and any(_is_scope(item) for item in child.items)
        yield from _bare(child, file, function, bounded=bounded or within)


def _is_scope(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in SCOPES


def _peer_calls(awaited: ast.Await) -> Iterator[str]:
    for node in ast.walk(awaited):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in PEER_CALLS and not _is_kept(node.func.value):
                yield node.func.attr


def _is_kept(value: ast.expr) -> bool:
    """Calls on what this process keeps itself are no peers': a dict's get, a string's join."""
    return isinstance(value, ast.Constant | ast.Dict)


def all_waits() -> list[Wait]:
    """Of all parts; the doors wait for clients and for our own parts, and have tests with real sockets."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            if not file.startswith("gateway/door/"):
                found += list(bare_waits(file, path.read_text(encoding="utf-8")))
    return found


def test_every_await_on_a_peer_has_a_deadline() -> None:
    """None waits for ever on somebody who may be gone."""
    bare = [f"{w.file}:{w.line} {w.call} in {w.function}" for w in all_waits() if w.place not in ELSEWHERE]
    assert bare == []


def test_no_rule_outlives_what_it_excuses() -> None:
    """What is excused is there."""
    assert sorted(set(ELSEWHERE) - {wait.place for wait in all_waits()}) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("await link.receive()", ["receive"]),
        ("await self._directory.members()", ["members"]),
        ("await self._attempt(self._directory.leave(me))", ["leave"]),
        ("found = await dialer.dial(address)", ["dial"]),
        ("for _ in range(3):\n        await link.receive()", ["receive"]),
        ("async with clock.deadline(1.0):\n        await link.receive()", []),
        ("async with clock.deadline(1.0):\n        if x:\n            await link.receive()", []),
        ("async with lock:\n        await link.receive()", ["receive"]),
        ("await clock.sleep(1.0)", []),
    ],
)
def test_the_search_finds_what_it_should(body: str, found: list[str]) -> None:
    """A check that cannot fail is worth nothing."""
    source = f"async def act():\n    {body}\n"
    assert [wait.call for wait in bare_waits("x.py", source)] == found

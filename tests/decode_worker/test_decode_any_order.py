"""Any order of commands, source verbs, reads, losses and time on a decode worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.schedule import SchedulePolicy
from protocol.limits import Limits
from protocol.messages import Prefix, Published, Release, Withdrawn, WorkerAddress
from protocol.request import Assignment
from tests.decode_worker.decode_bench import (
    GATEWAY,
    ME,
    OTHER_GATEWAY,
    READER_LINK,
    SOURCE,
    DecodeBench,
    job,
    transfer,
)
from tests.engine.modelled import answer

PREFIXES = ("fetch", "release", "lose reader", "serve prefix", "serve prefix")
COMMANDS = ("reserve", "reserve", "compute", "join", "join", "cancel", "serve", "serve", "arrive")
EVENTS = ("junk", "withdraw", "lose gateway", "lose source", "land", "fail", "wait", "step", "step", "step")
PROMPTS = {"a": tuple(range(10)), "b": (*range(8), 50, 51), "c": tuple(range(7)), "d": tuple(range(60, 80))}


@given(data=st.data())
def test_nothing_raises_and_nothing_is_kept(data: st.DataObject) -> None:
    """Ids and keys are reused, gateways are mixed up, reads land late or fail, links break: blocks add
    up after each of it, no block is free that can still be written, every token is right; and once
    deadlines are over nothing is held and a new request is answered."""
    draw = data.draw
    bench = DecodeBench(draw(st.sampled_from((12, 30))), SchedulePolicy(max_running=3), Limits(post_bytes=64))
    jobs: dict[str, Assignment] = {}
    attempt = 0
    now = 0.0
    for _ in range(draw(st.integers(1, 50))):
        if draw(st.integers(0, 3)):
            attempt, now = _act(draw, bench, jobs, attempt, now)
        else:
            _act_on_prefixes(draw, bench, now)
        bench.sent()
        bench.held()
    for later in (100.0, 200.0, 300.0):
        bench.turn(now + later)
    assert bench.held() == {}
    assert bench.transport.reads == {}
    bench.sent()
    _check_tokens(bench)
    last = job("fresh", PROMPTS["d"], 5, attempt=99)
    bench.reserve(last, "fresh", now=now + 300.0)
    bench.sent()
    bench.join(last, now=now + 300.0)
    bench.arrive(last, "fresh", now=now + 300.0)
    while bench.turn(now + 300.0):
        bench.sent()
    assert tuple(bench.tokens[last.key]) == answer(last.request)[1:]


def _act(
    draw: Callable[..., Any], bench: DecodeBench, jobs: dict[str, Assignment], attempt: int, now: float
) -> tuple[int, float]:
    """One thing that somebody does; returns the last attempt's number and the time after it."""
    gateways = st.sampled_from((GATEWAY, OTHER_GATEWAY))
    names = st.sampled_from(tuple(PROMPTS))
    act = draw(st.sampled_from((*COMMANDS, *EVENTS)))
    name, told = draw(names), jobs.get(draw(names))
    if act in ("reserve", "compute"):
        attempt += draw(st.sampled_from((0, 1)))
        length = draw(st.sampled_from((2, 12)))
        left_s = draw(st.sampled_from((0.0, 5.0, 60.0)))
        jobs[name] = fresh = job(name, PROMPTS[name], length, attempt=attempt, left_s=left_s)
        if act == "reserve":
            bench.reserve(fresh, draw(names), draw(gateways), now)
        else:
            bench.compute(fresh, draw(gateways), now, _prefix(draw))
    elif act == "join" and told is not None:
        bench.join(told, draw(gateways), now)
    elif act == "cancel" and told is not None:
        bench.cancel(told, draw(gateways), now)
    elif act in ("serve", "arrive") and told is not None and bench.sink.has(transfer(name)):
        if _prompt_of(bench, name) == told.request.prompt:
            bench.serve(told, name, now) if act == "serve" else bench.arrive(told, name, now)
    elif act == "junk":
        blocks = tuple(draw(st.lists(st.integers(-1, 401), max_size=3)))
        junk = Published(
            transfer(name), draw(st.integers(-1, 4)), blocks, (0,) * len(blocks), draw(st.booleans())
        )
        bench.hear(junk, bench.link, now)
    elif act == "withdraw":
        bench.hear(Withdrawn(transfer(name), "stale_kv", "gone"), bench.link, now)
    elif act == "lose gateway":
        bench.role.peer_lost(draw(gateways), now)
    elif act == "lose source":
        bench.role.peer_lost(bench.link, now)
    elif act in ("land", "fail") and bench.transport.pending:
        read = draw(st.sampled_from(bench.transport.pending))
        bench.transport.land(read) if act == "land" else bench.transport.fail(read)
    elif act == "wait":
        now += draw(st.sampled_from((0.1, 6.0, 31.0)))
    else:
        bench.turn(now)
    return attempt, now


def _prefix(draw: Callable[..., Any]) -> Prefix | None:
    """What a gateway believes."""
    if not draw(st.booleans()):
        return None
    source = WorkerAddress(draw(st.sampled_from((SOURCE, SOURCE, ME))), "127.0.0.1", 1)
    return Prefix(transfer(draw(st.sampled_from(tuple(PROMPTS)))), source, draw(st.integers(-1, 9)))


def _act_on_prefixes(draw: Callable[..., Any], bench: DecodeBench, now: float) -> None:
    """One thing that a reader of this worker's cache, or a source of prefixes, does."""
    act, name = draw(st.sampled_from(PREFIXES)), draw(st.sampled_from(tuple(PROMPTS)))
    if act == "fetch":
        bench.fetch(name, PROMPTS[draw(st.sampled_from(tuple(PROMPTS)))], draw(st.integers(0, 2)), now=now)
    elif act == "release":
        bench.hear(Release(transfer(name)), READER_LINK, now)
    elif act == "lose reader":
        bench.role.peer_lost(READER_LINK, now)
    else:
        bench.serve_prefix(name, draw(st.integers(0, 9)), now)


def _prompt_of(bench: DecodeBench, name: str) -> tuple[int, ...] | None:
    """Whose KV an honest source would serve under this id: it knows from the gateway's Prefill."""
    key = bench.role._by_transfer.get(transfer(name))
    return None if key is None else bench.role._reservations[key].attempt.sequence.request.prompt


def _check_tokens(bench: DecodeBench) -> None:
    for key, tokens in bench.tokens.items():
        said = answer(job(str(key.request), PROMPTS[str(key.request)], 40).request)
        joined = tokens == list(said[1 : 1 + len(tokens)])
        assert joined or _repeats(tokens, said), "a token that nobody would have said"


def _repeats(tokens: list[int], said: tuple[int, ...]) -> bool:
    """Attempt keys are reused here: then one key's tokens are several beginnings, one after another."""
    while tokens:
        run = max(_common(tokens, said), _common(tokens, said[1:]))
        if run == 0:
            return False
        tokens = tokens[run:]
    return True


def _common(tokens: list[int], said: tuple[int, ...]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(tokens, said, strict=False)) if a != b), min(len(tokens), len(said))
    )

"""`make chaos` judges rightly: what it calls right, wrong, leaked and failed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cluster.default_model import DEFAULT_MODEL
from engine.philox import uniform
from engine.torch_runner.model_folder import resolve_model
from tests.chaos.deck import Deck
from tests.chaos.faults import Fault
from tests.chaos.ledger import leaked
from tests.chaos.load import Outcome
from tests.chaos.reference import Margins, Reference, Verdict
from tests.chaos.report import Findings
from tests.chaos.stage import WorkerStatus
from tests.chaos.stream import End, Question, ask
from tests.chaos.talks import Talk, make_talks

REFERENCE = Reference("abc", ("a", "b", "c"), (1.0, 1e-4, 1.0))
IDLE = WorkerStatus("decode", "decode-0", "x", True, 8, 8, {"free": 5, "cache": 3, "request": 0})
GOOD = Outcome(0, 0, "", Verdict.RIGHT, 0, 0.1)


@pytest.mark.parametrize(
    ("tokens", "verdict"),
    [
        ("abc", Verdict.RIGHT),
        ("xbc", Verdict.WRONG),
        ("axc", Verdict.NEAR_TIE),
        ("axy", Verdict.NEAR_TIE),
        ("abx", Verdict.WRONG),
        ("ab", Verdict.WRONG),
        ("abcd", Verdict.WRONG),
    ],
)
def test_first_difference_decides(tokens: str, verdict: Verdict) -> None:
    """A whole answer is right, or differs first at a near-tie, or is wrong; missing and surplus tokens
    are wrong."""
    assert REFERENCE.verdict(tokens) is verdict


def test_broken_answer_is_judged_up_to_its_end() -> None:
    """What came before a connection broke must be right as well."""
    assert REFERENCE.prefix_verdict("a") is Verdict.RIGHT
    assert REFERENCE.prefix_verdict("x") is Verdict.WRONG
    assert REFERENCE.prefix_verdict("abcd") is Verdict.WRONG


def test_sampled_margin_is_the_way_to_another_token() -> None:
    """Of equal shares the margin is the distance of the drawn number to the ends of the token's share,
    and a token that the number does not fall on is told by a negative one."""
    margins = Margins(resolve_model(DEFAULT_MODEL))
    letters = "ABCDEFGH"
    top = {**dict.fromkeys(letters, -2.0), "Z": -9.0}
    seed = next(seed for seed in range(99) if 1 / 8 < uniform(seed, 0, 0) < 7 / 8)  # no share at an end
    talk = Talk(1, 0.8, seed, ())
    shares = [margins.of(talk, [letter], [top])[0] for letter in letters]
    (margin,) = [share for share in shares if share >= 0]
    place = uniform(seed, 0, 0) * len(letters) % 1 / len(letters)
    assert margin == pytest.approx(min(place, 1 / len(letters) - place), abs=1e-9)
    assert Reference("", ("A",), (min(shares),)).doubtful


def test_held_and_missing_blocks_are_leaks() -> None:
    """A pool at rest holds free and cached blocks, all of them, and nothing else."""
    assert leaked([IDLE]) == {}
    assert leaked([replace(IDLE, held={**IDLE.held, "dest": 1, "free": 4}, free=7)]) == {
        "decode-0": {"dest": 1, "not available": 1}
    }
    assert leaked([replace(IDLE, held={"free": 7})]) == {"decode-0": {"missing": 1}}


def test_talks_have_as_many_turns_as_asked() -> None:
    """Every number of streams is met exactly, the same for the same seed."""
    for streams in (1, 2, 20, 101):
        assert sum(len(talk.turns) for talk in make_talks(3, streams)) == streams
    assert make_talks(3, 20) == make_talks(3, 20)


def test_every_kind_of_fault_comes_before_any_comes_again() -> None:
    """A round has each kind once; while a worker is away none comes that would take another."""
    deck = Deck(tuple(Fault), random.Random(1))
    assert {deck.draw(whole=True) for _ in Fault} == set(Fault)
    assert {deck.draw(whole=False) for _ in range(2)} == {Fault.GATEWAY, Fault.REDIS}
    assert deck.draw(whole=False) is None
    assert deck.draw(whole=True) not in (Fault.GATEWAY, Fault.REDIS, None)


@pytest.mark.parametrize(
    "bad",
    [
        {"outcomes": (replace(GOOD, verdict=Verdict.WRONG),)},
        {"outcomes": (replace(GOOD, failed="broken"),)},
        {"leaks": {"decode-0": {"dest": 1}}},
        {"vanished": ("decode-0",)},
    ],
)
def test_every_kind_of_failure_counts(bad: dict[str, object]) -> None:
    """A wrong token, a failed stream, a leaked block or a lost engine each make the run fail."""
    findings = Findings((GOOD,), (), 8, {}, (), 1.0, 1)
    assert findings.good
    assert not replace(findings, **bad).good  # type: ignore[arg-type]


def event(text: str) -> bytes:
    """One chunk of an answer, as it is on the wire."""
    choice = {"text": text, "logprobs": {"tokens": [text], "top_logprobs": [{}]}}
    line = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSAL = b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"error": {"code": "overloaded", "message": "full"}}'
FAILURE = b'data: {"error": {"code": "retries_spent", "message": "x"}}\n\n'


@pytest.mark.parametrize(
    ("answer", "end", "code", "text"),
    [
        (HEAD + event("a") + event("b") + b"data: [DONE]\n\n", End.DONE, "", "ab"),
        (HEAD + event("a") + event("b"), End.BROKEN, "", "ab"),
        (HEAD + event("a") + event("b")[:-9], End.BROKEN, "", "a"),
        (HEAD + event("a") + FAILURE, End.ERROR, "retries_spent", "a"),
        (REFUSAL, End.ERROR, "overloaded", ""),
        (b"", End.BROKEN, "", ""),
    ],
)
async def test_every_end_of_a_stream_is_told_apart(answer: bytes, end: End, code: str, text: str) -> None:
    """A whole answer, a broken one, an error before and within it are four things."""
    port, close = await serve_once(answer)
    heard = await ask(port, "m", Question("p", 2, 0.0, 1, "s", 0), 10.0)
    await close()
    assert (heard.end, heard.code, heard.text, "".join(heard.tokens)) == (end, code, text, text)


async def test_absent_gateway_is_told_apart() -> None:
    """Nobody who listens is not a stream that broke."""
    port, close = await serve_once(b"")
    await close()
    assert (await ask(port, "m", Question("p", 2, 0.0, 1, "s", 0), 10.0)).end is End.REFUSED


async def serve_once(answer: bytes) -> tuple[int, Callable[[], Awaitable[None]]]:
    """A server that says this to everybody: its port and its end."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])

    async def close() -> None:
        server.close()
        await server.wait_closed()

    return port, close

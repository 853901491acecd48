"""What the simulation calls wrong, one kind at a time: each check can fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from engine.modelled_runner import ModelledRunner
from gateway.generator import TokenEvent
from gateway.service import Gateway
from protocol.errors import DeadlineExceeded, Overloaded
from protocol.messages import FinishReason
from protocol.request import Request
from tests.simulation.client import reference
from tests.simulation.profile import CALM
from tests.simulation.world import run_seed

QUIET = replace(CALM, requests=2, timeout_s=5.0)
Answer = Callable[[Request], AsyncIterator[TokenEvent]]


async def _late(request: Request) -> AsyncIterator[TokenEvent]:
    await asyncio.sleep(request.timeout_s + 2.0)
    raise DeadlineExceeded("much too late")
    yield


async def _never(request: Request) -> AsyncIterator[TokenEvent]:
    await asyncio.sleep(1e9)
    raise DeadlineExceeded("nobody waits for this")
    yield


async def _wrong(request: Request) -> AsyncIterator[TokenEvent]:
    yield _event(request, 0, (reference(request)[0] + 1,), None)


async def _gap(request: Request) -> AsyncIterator[TokenEvent]:
    yield _event(request, 1, (7,), None)


async def _short(request: Request) -> AsyncIterator[TokenEvent]:
    yield _event(request, 0, reference(request)[:-1], FinishReason.LENGTH)


async def _silent(request: Request) -> AsyncIterator[TokenEvent]:
    nothing: tuple[TokenEvent, ...] = ()
    for event in nothing:
        yield event


async def _refused(request: Request) -> AsyncIterator[TokenEvent]:
    raise Overloaded("no reason")
    yield


async def _broken(request: Request) -> AsyncIterator[TokenEvent]:
    raise RuntimeError("no typed error")
    yield


async def _deaf(request: Request) -> AsyncIterator[TokenEvent]:
    for _ in range(5):
        try:
            await asyncio.sleep(1e4)
        except asyncio.CancelledError:
            continue
    yield _event(request, 0, (), None)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (_late, "too late"),
        (_never, "too late"),
        (_deaf, "the run broke: DeadlineExceeded"),
        (_wrong, "wrong tokens"),
        (_gap, "a gap or a repeat"),
        (_short, "finished with"),
        (_silent, "without finish and without error"),
        (_refused, "though nothing else did"),
        (_broken, "the run broke: RuntimeError"),
    ],
)
def test_bad_answers_are_seen(answer: Answer, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late, absent, wrong, gapped, short, silent, needless and untyped ends of a request."""
    monkeypatch.setattr(Gateway, "generate", lambda self, request: answer(request))
    assert any(complaint in one for one in run_seed(0, QUIET).complaints)


def test_an_error_that_the_product_logs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is logged as an error is a bug, even if no client notices."""
    right = ModelledRunner.launch

    def launch(self: ModelledRunner, step: object) -> object:
        logging.getLogger("engine").error("odd")
        return right(self, step)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelledRunner, "launch", launch)
    assert any("logged by engine: odd" in one for one in run_seed(0, QUIET).complaints)


def test_an_engine_that_ends_by_itself_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that nobody killed has no reason to end, even where its requests go on elsewhere."""
    calls = 0
    right = ModelledRunner.launch

    def launch(self: ModelledRunner, step: object) -> object:
        nonlocal calls
        calls += 1
        return _fail() if calls == 40 else right(self, step)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelledRunner, "launch", launch)
    complaints = run_seed(0, QUIET).complaints
    assert any("ended by itself" in one for one in complaints)


def _fail() -> NoReturn:
    raise RuntimeError("a bug")


def _event(request: Request, index: int, tokens: tuple[int, ...], finish: FinishReason | None) -> TokenEvent:
    return TokenEvent(index, tokens, (), finish, 0, ())

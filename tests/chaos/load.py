"""A constant load of talks, each answer judged against the undisturbed one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.reference import Margins, Reference, Verdict
from tests.chaos.stage import MODEL
from tests.chaos.stream import End, Heard, Question, ask
from tests.chaos.talks import Talk

ANSWER_S = 300.0
AWAY_S = 120.0
"""A gateway that was killed is back within this time."""
AWAY_POLL_S = 0.25
DYING_S = 1.0
"""A connection may still be made just after the signal was sent."""
TOPS = 14
"""Alternatives told in the undisturbed run: more than top-k keeps."""

References = dict[tuple[int, int], Reference]
"""By talk and turn."""


class NoReference(Exception):
    """The undisturbed run was disturbed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one stream."""

    talk: int
    turn: int
    failed: str
    """Empty, or the code of the error that ended it."""
    verdict: Verdict
    """On what came, also of a stream that failed and of those that a dead gateway broke off."""
    retries: int
    """After the death of its gateway."""
    longest_gap_s: float
    message: str = ""


async def undisturbed(port: int, talks: Sequence[Talk], at_once: int, margins: Margins) -> References:
    """The answers of a whole cluster, with their margins. Raises NoReference."""
    references: References = {}

    async def one(talk: Talk) -> None:
        said = ""
        for place, turn in enumerate(talk.turns):
            said += turn.text
            question = Question(said, turn.tokens, talk.temperature, talk.seed, "reference", TOPS)
            heard = await ask(port, MODEL, question, ANSWER_S)
            if heard.end is not End.DONE:
                raise NoReference(f"talk {talk.number}: {heard.end.value} {heard.code} {heard.message}")
            close = margins.of(talk, heard.tokens, heard.tops)
            reference = Reference(heard.text, tuple(heard.tokens), close)
            if reference.doubtful or len(reference.tokens) != turn.tokens:
                raise NoReference(f"talk {talk.number}: a token that its probabilities do not explain")
            references[talk.number, place] = reference
            said += heard.text

    await _in_lanes(talks, at_once, one)
    return references


class Load:
    """The same talks again and again, with other cache salts each time, until told to end."""

    def __init__(self, port: int, references: References, gateway_deaths: list[float]) -> None:
        self._port = port
        self._references = references
        self._gateway_deaths = gateway_deaths
        self.outcomes: list[Outcome] = []

    async def run(self, talks: Sequence[Talk], at_once: int, enough: Callable[[], bool]) -> None:
        """Each talk once, and more rounds until it is `enough`."""
        rounds = 0
        while not rounds or not enough():
            salt = f"round {rounds}"

            async def one(talk: Talk, salt: str = salt, first: bool = rounds == 0) -> None:
                if first or not enough():
                    await self._talk(talk, salt)

            await _in_lanes(talks, at_once, one)
            rounds += 1

    async def _talk(self, talk: Talk, salt: str) -> None:
        said = ""
        for place, turn in enumerate(talk.turns):
            reference = self._references[talk.number, place]
            said += turn.text
            question = Question(said, turn.tokens, talk.temperature, talk.seed, salt, 0)
            self.outcomes.append(await self._stream(talk, place, question, reference))
            said += reference.text

    async def _stream(self, talk: Talk, place: int, question: Question, reference: Reference) -> Outcome:
        """Only the death of its own gateway, or the absence of any, makes a client ask again."""
        retries, gap_s, verdict = 0, 0.0, Verdict.RIGHT
        while True:
            heard = await self._ask(question)
            gap_s = max(gap_s, heard.longest_gap_s())
            whole = heard.end is End.DONE
            judged = (reference.verdict if whole else reference.prefix_verdict)(heard.tokens)
            verdict = judged if verdict is Verdict.RIGHT else verdict
            if not (heard.end is End.BROKEN and self._gateway_died(heard)):
                break
            retries += 1
        failed = "" if whole else heard.code or heard.end.value
        if failed or verdict is Verdict.WRONG:
            print(f"talk {talk.number} turn {place}: {failed or 'wrong'} {heard.message}", flush=True)
        return Outcome(talk.number, place, failed, verdict, retries, gap_s, heard.message)

    async def _ask(self, question: Question) -> Heard:
        """Waits for a gateway first."""
        give_up = time.monotonic() + AWAY_S
        while True:
            heard = await ask(self._port, MODEL, question, ANSWER_S)
            away = heard.end is End.REFUSED or (heard.end is End.AWAY and self._gateway_away(heard))
            if not away or time.monotonic() > give_up:
                return heard
            await asyncio.sleep(AWAY_POLL_S)

    def _gateway_away(self, heard: Heard) -> bool:
        return any(heard.began_s - AWAY_S <= death <= heard.ended_s for death in self._gateway_deaths)

    def _gateway_died(self, heard: Heard) -> bool:
        return any(heard.began_s - DYING_S <= death <= heard.ended_s for death in self._gateway_deaths)


async def _in_lanes(talks: Sequence[Talk], lanes: int, work: Callable[[Talk], object]) -> None:
    """`lanes` talks at a time; one that ends makes room for the next."""
    left = iter(talks)

    async def lane() -> None:
        for talk in left:
            await work(talk)  # type: ignore[misc]

    async with asyncio.TaskGroup() as together:
        for _ in range(min(lanes, len(talks))):
            together.create_task(lane())

"""Carries faults out, one every few seconds, in a seeded order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass

from tests.chaos.deck import Deck
from tests.chaos.faults import PROFILES, TERMS, WORKER_FAULTS, Fault
from tests.chaos.stage import EngineProcess, Stage

POLL_S = 0.5
REDIS_AWAY_S = 3.0
PAUSE_S = (0.5, 6.0)
"""Frozen engines are found after 3 s, so some go on by themselves and some are ended."""
VERDICT_S = 2.0
"""In which a verdict that fell just before the engine went on is carried out."""
MEND_S = 240.0


class NotMended(Exception):
    """A worker did not come back."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One fault that was carried out."""

    at_s: float
    what: str


class Nemesis:
    """At most one worker less at a time: capacity must be left, or nobody could keep the promises."""

    def __init__(self, stage: Stage, seed: int, profile: str, every_s: float) -> None:
        self._stage = stage
        self._dice = random.Random(seed)
        self._deck = Deck(PROFILES[profile], self._dice)
        self._every_s = every_s
        self._ended: set[str] = set()
        self._resting = False
        self.deeds: list[Deed] = []
        self.gateway_deaths: list[float] = []
        self.through = True
        """There is no last fault to wait for."""

    @property
    def ended(self) -> frozenset[str]:
        """Incarnations that were ended on purpose."""
        return frozenset(self._ended)

    async def run(self) -> None:
        """Until it is told to rest."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._resting:
                return
            kind = self._deck.draw(whole=await self._is_whole())
            if kind is not None:
                await self._carry_out(kind)

    async def rest(self, running: asyncio.Task[None]) -> None:
        """Ends `run`, and what it has begun is brought to its end: nobody stays frozen."""
        self._resting = True
        await running

    async def mended(self) -> None:
        """Returns when all workers are there again. Raises NotMended."""
        give_up = time.monotonic() + MEND_S
        while not await self._is_whole():
            if time.monotonic() > give_up:
                raise NotMended(f"not all workers came back within {MEND_S:.0f} s")
            await asyncio.sleep(POLL_S)

    async def _is_whole(self) -> bool:
        """Whether as many workers as the spec wants are linked, none of them one that was ended."""
        try:
            workers = await self._stage.workers()
        except (OSError, ValueError, KeyError):
            return False
        alive = [one for one in workers if one.incarnation not in self._ended and one.total > 0]
        return len(alive) >= self._stage.wanted_workers

    async def _carry_out(self, kind: Fault) -> None:
        if kind is Fault.GATEWAY:
            self._kill_gateway()
        elif kind is Fault.REDIS:
            await self._restart_redis()
        elif kind is Fault.FREEZE:
            await self._freeze(self._dice.choice(self._stage.engines()))
        else:
            role = WORKER_FAULTS[kind]
            engine = self._dice.choice([one for one in self._stage.engines() if one.role == role])
            self._end(engine)
            if kind in TERMS:  # as a supervisor does that signals a group of processes
                _signal(engine.pid, signal.SIGTERM)
                _signal(engine.replica, signal.SIGTERM)
            else:
                whole = kind in (Fault.PREFILL_REPLICA, Fault.DECODE_REPLICA)
                _signal(engine.replica if whole else engine.pid, signal.SIGKILL)
            self._note(kind.value)

    def _kill_gateway(self) -> None:
        """One of them; where there are several, one stays."""
        pids = self._stage.gateways()
        if len(pids) < self._stage.wanted_gateways:
            self._note(f"{Fault.GATEWAY.value}: one was missing already")
        else:
            self.gateway_deaths.append(time.monotonic())
            _signal(self._dice.choice(pids), signal.SIGKILL)
            self._note(Fault.GATEWAY.value)

    async def _restart_redis(self) -> None:
        self._stage.redis.kill()
        self._note(Fault.REDIS.value)
        await asyncio.sleep(REDIS_AWAY_S)
        self._stage.redis.start()

    async def _freeze(self, engine: EngineProcess) -> None:
        pause_s = self._dice.uniform(*PAUSE_S)
        _signal(engine.pid, signal.SIGSTOP)
        began_s = time.monotonic()
        while time.monotonic() < began_s + pause_s and self._lives(engine):
            await asyncio.sleep(0.1)
        _signal(engine.pid, signal.SIGCONT)
        await asyncio.sleep(VERDICT_S)
        if self._lives(engine):
            self._note(f"{Fault.FREEZE.value}, went on")
        else:
            self._end(engine)
            self._note(f"{Fault.FREEZE.value}, found and ended")

    def _lives(self, engine: EngineProcess) -> bool:
        return engine in self._stage.engines()

    def _end(self, engine: EngineProcess) -> None:
        self._ended.add(engine.incarnation)

    def _note(self, what: str) -> None:
        self.deeds.append(Deed(time.monotonic(), what))
        print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

"""The work of `make bench-control_plane`: one client alone, then many at once, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import Answer, percentile
from benchmarks.process_cpu import spent
from benchmarks.report import Row
from benchmarks.server import RunningServer
from benchmarks.stream_client import AnswerFailed, Endpoint, stream

FIRST_ANSWER_S = 60.0
"""A server may say that it is ready before its workers are."""
SETTLE_S = 2.0
LOWEST_TOKEN, VOCABULARY = 8, 2048
"""Of baton-tiny, without its special tokens."""
PROMPT, ANSWER = 512, 64
ALONE_PROMPTS = (128, 2048)

FAST = 10.0
"""Speed-up from which on the stack is what takes the time."""

Prompt = list[int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked for."""

    alone: int = 60
    """Answers to one client, for each length of prompt."""
    clients: tuple[int, ...] = (16, 64, 128)
    each: int = 12
    """Answers to each of many clients."""
    fast: int = 1500
    """Answers to all of them together, at least, where engines are fast: a second would not be enough."""

    def answers(self, clients: int, speedup: float) -> int:
        """Of one run."""
        return max(clients * self.each, self.fast if speedup >= FAST else 0)


@dataclass(frozen=True, slots=True)
class Crowd:
    """One run of many clients."""

    clients: int
    answers: tuple[Answer, ...]
    seconds: float
    cpu: dict[str, float]
    """CPU seconds of the server, by kind of process, and of the client."""

    @property
    def tokens(self) -> int:
        """Generated ones."""
        return sum(answer.tokens for answer in self.answers)

    @property
    def server_us(self) -> float:
        """CPU time of all the server's processes for a token, in microseconds."""
        return 1e6 * sum(used for kind, used in self.cpu.items() if kind != "client") / self.tokens


def alone_work(length: int) -> str:
    """As it stands in the table."""
    return f"1 client, {length} in / 1 out"


def crowd_work(clients: int) -> str:
    """As it stands in the table."""
    return f"{clients} clients, {PROMPT} in / {ANSWER} out"


def fresh_prompts(dice: np.random.Generator, count: int, length: int) -> list[Prompt]:
    """Of random tokens, so that no cache helps."""
    drawn: list[Prompt] = dice.integers(LOWEST_TOKEN, VOCABULARY, (count, length)).tolist()
    return drawn


async def measure(server: RunningServer, sizes: Sizes, speedup: float) -> list[Row]:
    """All work of one server."""
    dice = np.random.default_rng(1)
    await first_answer(server.endpoint, dice)
    rows: list[Row] = []
    for length in ALONE_PROMPTS:
        answers = [await stream(server.endpoint, one, 1) for one in fresh_prompts(dice, sizes.alone, length)]
        rows += ttft_rows(alone_work(length), server.system, answers)
    for clients in sizes.clients:
        await crowd(server, clients, fresh_prompts(dice, clients, PROMPT))  # warms up
        heard = await crowd(server, clients, fresh_prompts(dice, sizes.answers(clients, speedup), PROMPT))
        rows += crowd_rows(server.system, heard)
    return rows


async def first_answer(endpoint: Endpoint, dice: np.random.Generator) -> None:
    """Returns when it answers. Raises AnswerFailed."""
    until = time.monotonic() + FIRST_ANSWER_S
    while True:
        try:
            await stream(endpoint, fresh_prompts(dice, 1, PROMPT)[0], 2)
            break
        except (AnswerFailed, OSError, asyncio.IncompleteReadError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLE_S)


async def crowd(server: RunningServer, clients: int, prompts: Sequence[Prompt]) -> Crowd:
    """Each client asks for the next prompt as soon as it has its answer."""
    before, own, began = server.cpu(), time.process_time(), time.perf_counter()
    left = list(prompts)
    answers: list[Answer] = []

    async def client() -> None:
        while left:
            answers.append(await stream(server.endpoint, left.pop(), ANSWER))

    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - began
    cpu = {**spent(before, server.cpu()), "client": time.process_time() - own}
    return Crowd(clients, tuple(answers), seconds, cpu)


def crowd_rows(system: str, heard: Crowd) -> list[Row]:
    """Everything of one run."""
    work = crowd_work(heard.clients)
    rows = [
        Row(work, system, "answers", len(heard.answers) / heard.seconds, "req/s"),
        Row(work, system, "throughput", heard.tokens / heard.seconds, "tokens/s"),
        *ttft_rows(work, system, heard.answers),
        Row(work, system, "server CPU a token", heard.server_us, "us"),
    ]
    rows += [
        Row(
            work,
            system,
            f"of it {kind}" if kind != "client" else "client CPU a token",
            1e6 * used / heard.tokens,
            "us",
        )
        for kind, used in sorted(heard.cpu.items())
        if used > 0
    ]
    return rows


def ttft_rows(work: str, system: str, answers: Sequence[Answer]) -> list[Row]:
    """Time to first token."""
    times = [1e3 * answer.ttft_s for answer in answers]
    return [
        Row(work, system, "TTFT p50", percentile(times, 0.5), "ms"),
        Row(work, system, "TTFT p99", percentile(times, 0.99), "ms"),
    ]

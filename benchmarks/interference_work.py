"""The work of `make bench-interference`: decoders that run while prompts arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Answer, gaps_s, own_tokens_per_s, percentile
from benchmarks.process_cpu import spent
from benchmarks.prompts import prompt, prompts
from benchmarks.report import Row
from benchmarks.server import RunningServer
from benchmarks.stream_client import stream, stream_all, stream_until

SHORT_PROMPT = 64
FIRST_S = 0.5
ANSWER_TOKENS = 8
"""Of an arriving prompt: more than one, so that its KV has to move."""


@dataclass(frozen=True, slots=True)
class Load:
    """Who decodes, and what arrives."""

    decoders: int = 4
    decode_tokens: int = 200
    prompt_tokens: int = 1536
    every_s: tuple[float, ...] = (2.5,)
    """Between two prompts; each gives a run of its own."""
    most_s: float = 40.0
    """Of one run: where prompts come faster than they are read, decoders would not end for half an hour."""
    rest_s: float = 20.0
    """For the prompts after the decoders' end."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One run."""

    decoders: tuple[Answer, ...]
    prompts: tuple[Answer, ...]
    cpu: dict[str, float]
    """CPU seconds by kind of process while the decoders ran."""


def loud_work(every_s: float) -> str:
    """As it stands in the table."""
    return f"a prompt every {every_s:g} s"


QUIET = "no prompts"
ALONE = "one prompt alone"


async def measure_load(server: RunningServer, load: Load) -> list[Row]:
    """A prompt alone, the decoders alone, then both for every interval."""
    name, endpoint = server.system, server.endpoint
    await stream_all(endpoint, prompts("interference/warm-up", load.decoders, SHORT_PROMPT), ANSWER_TOKENS)
    alone = [
        await stream(endpoint, prompt(f"interference/alone/{number}", load.prompt_tokens), ANSWER_TOKENS)
        for number in range(3)
    ]
    rows = [Row(ALONE, name, "TTFT p50", 1e3 * percentile([one.ttft_s for one in alone[1:]], 0.5), "ms")]
    asked = prompts("interference/quiet", load.decoders, SHORT_PROMPT)
    rows += decoder_rows(QUIET, name, await stream_all(endpoint, asked, load.decode_tokens))
    for every_s in load.every_s:
        heard = await disturb(server, load, every_s)
        rows += heard_rows(loud_work(every_s), name, heard)
    return rows


async def disturb(server: RunningServer, load: Load, every_s: float) -> Heard:
    """Prompts arrive from the decoders' start, the first after FIRST_S, to their end or for `most_s`; then
    the prompts are waited for, for `rest_s`. What has not come by then is left."""
    label, endpoint = f"interference/{every_s}", server.endpoint
    before, own = server.cpu(), time.process_time()
    until_s = asyncio.get_running_loop().time() + load.most_s
    asked = prompts(f"{label}/decoder", load.decoders, SHORT_PROMPT)
    decoding = asyncio.gather(*(stream_until(endpoint, one, load.decode_tokens, until_s) for one in asked))
    arriving: list[asyncio.Task[Answer]] = []
    while not decoding.done():
        await asyncio.wait([decoding], timeout=every_s if arriving else FIRST_S)
        if not decoding.done():
            one = prompt(f"{label}/prompt/{len(arriving)}", load.prompt_tokens)
            arrival = stream_until(endpoint, one, ANSWER_TOKENS, until_s + load.rest_s)
            arriving.append(asyncio.create_task(arrival))
    cpu = {**spent(before, server.cpu()), "client": time.process_time() - own}
    return Heard(tuple(await decoding), tuple(await asyncio.gather(*arriving)), cpu)


def heard_rows(work: str, system: str, heard: Heard) -> list[Row]:
    """Everything of one run."""
    rows = decoder_rows(work, system, heard.decoders)
    ttft = [answer.ttft_s for answer in heard.prompts]
    if ttft:
        rows += [
            Row(work, system, "prompts that came", len(ttft), ""),
            Row(work, system, "of them answered in time", sum(one.tokens > 0 for one in heard.prompts), ""),
            Row(work, system, "TTFT p50", 1e3 * percentile(ttft, 0.5), "ms"),
            Row(work, system, "TTFT p99", 1e3 * percentile(ttft, 0.99), "ms"),
        ]
    seconds = max(one.arrived_s[-1] for one in heard.decoders) - min(one.sent_s for one in heard.decoders)
    for kind, used in sorted(heard.cpu.items()):
        rows.append(Row(work, system, f"CPU of {kind}", used / seconds, "cores"))
    return rows


def decoder_rows(work: str, system: str, answers: Sequence[Answer]) -> list[Row]:
    """Of the decoders."""
    gaps = gaps_s(answers)
    return [
        Row(work, system, "ITL p50", 1e3 * percentile(gaps, 0.5), "ms"),
        Row(work, system, "ITL p99", 1e3 * percentile(gaps, 0.99), "ms"),
        Row(work, system, "ITL max", 1e3 * max(gaps), "ms"),
        Row(work, system, "decoders", own_tokens_per_s(answers), "tokens/s"),
    ]

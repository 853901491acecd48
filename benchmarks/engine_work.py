"""The work of `make bench-engine`, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.box import BoxRates
from benchmarks.figures import Answer, batch_gaps_s, batch_tokens_per_s, percentile
from benchmarks.model_047b import decode_bytes, prefill_flops
from benchmarks.prompts import prompt, prompts
from benchmarks.report import Row
from benchmarks.server import RunningServer
from benchmarks.stream_client import stream, stream_all

SHORT_PROMPT = 64
WARM_UP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    decode_batches: tuple[int, ...] = (1, 8, 32)
    decode_tokens: int = 160
    """Of some seconds: what a virtual machine may read of its memory changes by the second."""
    prefill_lengths: tuple[int, ...] = (512, 2048)
    prefill_repeats: int = 5
    long_batch: int = 16
    long_prompt: int = 1024
    long_tokens: int = 32
    library_tokens: int = 12
    """The library peer takes seconds a token there; while it still reads prompts, those read before them
    write two or three at most."""


QUICK = Sizes((1, 8), 32, (512,), 2, 4, 256, 16, 8)


def decode_work(batch: int) -> str:
    """As it stands in the table."""
    return f"decode batch {batch}"


def prefill_work(length: int) -> str:
    """As it stands in the table."""
    return f"prefill {length}"


def long_work(sizes: Sizes) -> str:
    """As it stands in the table."""
    return f"decode batch {sizes.long_batch}, context {sizes.long_prompt}"


async def measure_server(server: RunningServer, sizes: Sizes, box: BoxRates) -> list[Row]:
    """All work of one server, small batches first."""
    rows: list[Row] = []
    for batch in sizes.decode_batches:
        label = f"decode/{batch}"
        await stream_all(server.endpoint, prompts(f"warm-up/{label}", batch, SHORT_PROMPT), WARM_UP_TOKENS)
        asked = prompts(label, batch, SHORT_PROMPT)
        rows += await measure_decode(server, decode_work(batch), asked, sizes.decode_tokens, box)
    for length in sizes.prefill_lengths:
        rows += await measure_prefill(server, length, sizes.prefill_repeats, box)
    asked = prompts("long", sizes.long_batch, sizes.long_prompt)
    await stream_all(server.endpoint, asked, 1)  # into the prefix cache, so that all decode at once
    answers = await stream_all(server.endpoint, asked, sizes.long_tokens)
    bytes_read = decode_bytes(sizes.long_batch, sizes.long_prompt + sizes.long_tokens / 2)
    return rows + decode_rows(long_work(sizes), server.system, answers, bytes_read, box)


async def measure_decode(
    server: RunningServer, work: str, asked: Sequence[Sequence[int]], tokens: int, box: BoxRates
) -> list[Row]:
    """All prompts at once. The CPU row holds on a machine that is shared, too; it counts the prompts."""
    before = sum(server.cpu().values())
    answers = await stream_all(server.endpoint, asked, tokens)
    used_s = sum(server.cpu().values()) - before
    bytes_read = decode_bytes(len(asked), len(asked[0]) + tokens / 2)
    rows = decode_rows(work, server.system, answers, bytes_read, box)
    return [*rows, Row(work, server.system, "CPU per step, all processes", 1e3 * used_s / tokens, "ms")]


async def measure_prefill(server: RunningServer, length: int, repeats: int, box: BoxRates) -> list[Row]:
    """Prompts one at a time, after one that warms up."""
    work, times = prefill_work(length), []
    await stream(server.endpoint, prompt(f"warm-up/prefill/{length}", length), 1)
    before = sum(server.cpu().values())
    for number in range(repeats):
        answer = await stream(server.endpoint, prompt(f"prefill/{length}/{number}", length), 1)
        times.append(answer.ttft_s)
    used_s = (sum(server.cpu().values()) - before) / repeats
    rows = prefill_rows(work, server.system, percentile(times, 0.5), length, box)
    return [*rows, Row(work, server.system, "CPU per prompt, all processes", 1e3 * used_s, "ms")]


def decode_rows(
    work: str, system: str, answers: Sequence[Answer], bytes_read: float, box: BoxRates
) -> list[Row]:
    """Time between tokens, tokens/s, and the share of the read bandwidth that one step makes of it."""
    itl_s = percentile(batch_gaps_s(answers), 0.5)
    return [
        Row(work, system, "ITL p50", itl_s * 1e3, "ms"),
        Row(work, system, "throughput", batch_tokens_per_s(answers), "tokens/s"),
        Row(work, system, "share of read bandwidth", bytes_read / itl_s / box.read_gb_s / 1e9, "share"),
    ]


def prefill_rows(work: str, system: str, ttft_s: float, length: int, box: BoxRates) -> list[Row]:
    """TTFT, tokens/s, and the share of the matmul rate."""
    share = prefill_flops(length) / ttft_s / box.matmul_tflop_s / 1e12
    return [
        Row(work, system, "TTFT p50", ttft_s * 1e3, "ms"),
        Row(work, system, "throughput", length / ttft_s, "tokens/s"),
        Row(work, system, "share of matmul rate", share, "share"),
    ]

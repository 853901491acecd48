"""Measures what arriving prompts do to running answers: `make bench-interference`.

Ours with a prefill and a decode worker on a core each, ours colocated on both cores, and vLLM on
both cores, in turn, on the same model with the same client.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.box import BoxRates, hardware, measure_box
from benchmarks.client_priority import put_client_first
from benchmarks.engine import tell
from benchmarks.interference_work import ALONE, QUIET, Load, loud_work, measure_load
from benchmarks.model_047b import model_folder, prefill_flops
from benchmarks.ours import Shape, our_server
from benchmarks.peer_vllm import DEFAULT, SETTINGS, add_vllm_option, vllm_server
from benchmarks.report import Reach, Report, Row, at_least, at_most
from benchmarks.server import ServerCommand, ServerFailed, end_on_sigterm, running_server
from benchmarks.stream_client import AnswerFailed

APART, COLOCATED = "Baton 1+1", "Baton colocated"
SYSTEMS = ("apart", "colocated", "vllm")
SUSTAINED_SHARE = 0.65
"""Of a core's matmul rate: below it, prompts of this length come faster than one core computes them."""


def commands(args: argparse.Namespace, model: Path, work: Path) -> list[ServerCommand]:
    """How each system that is wanted and there is started."""
    first, second = args.cores
    shapes = {
        "apart": Shape(APART, (first,), (second,), not args.without_ray),
        "colocated": Shape(COLOCATED, (), (first, second), not args.without_ray),
    }
    found = [our_server(shape, model, work) for name, shape in shapes.items() if name in args.only]
    if "vllm" in args.only and args.vllm_python:
        found += [
            vllm_server(setting, args.vllm_python, model, tuple(args.cores)) for setting in args.vllm_settings
        ]
    return found


def system_rows(command: ServerCommand, load: Load, work: Path) -> list[Row]:
    """Starts one server, measures it, stops it."""
    tell(f"{command.system} starts")
    with running_server(command, work / f"{command.system.replace(' ', '-')}.log") as server:
        tell(f"{command.system} is measured")
        return asyncio.run(measure_load(server, load))


def core_share_row(rows: Sequence[Row], load: Load, core: BoxRates) -> list[Row]:
    """What our prefill worker makes of its core."""
    return [
        Row(
            ALONE,
            APART,
            "share of its core's matmul rate",
            prefill_flops(load.prompt_tokens) / (row.value / 1e3) / core.matmul_tflop_s / 1e12,
            "share",
        )
        for row in rows
        if (row.work, row.system, row.metric) == (ALONE, APART, "TTFT p50")
    ]


def reaches(rows: Sequence[Row], every_s: Sequence[float]) -> list[Reach]:
    """As far as the systems are there."""
    values = {(row.work, row.system, row.metric): row.value for row in rows}
    found: list[Reach] = []
    for work in map(loud_work, every_s):
        ours = {metric: values.get((work, APART, metric)) for metric in ("ITL p99", "TTFT p50", "decoders")}
        p99, ttft, rate = ours["ITL p99"], ours["TTFT p50"], ours["decoders"]
        quiet = values.get((QUIET, APART, "ITL p50"))
        if p99 is None or rate is None or quiet is None:
            continue
        found.append(at_most(work, "ITL p99 over own quiet p50", p99 / quiet, 1.5))
        peers = [peer for peer in SETTINGS if (work, peer, "ITL p99") in values]
        if DEFAULT in peers:
            ratio = values[work, DEFAULT, "ITL p99"] / p99
            found.append(at_least(work, "ITL p99 below default vLLM's by", ratio, 10.0))
        if not peers:
            continue
        best = min(values[work, peer, "ITL p99"] for peer in peers)
        found.append(at_least(work, "ITL p99 below vLLM's best by", best / p99, 3.0))
        waits = [values[work, peer, "TTFT p50"] for peer in peers if (work, peer, "TTFT p50") in values]
        if ttft is not None and waits:
            found.append(at_most(work, "TTFT p50 over vLLM's best", ttft / min(waits), 1.3))
        fastest = max(values[work, peer, "decoders"] for peer in peers)
        found.append(at_least(work, "decoders' tokens/s over vLLM's best", rate / fastest, 1.0))
    return found


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.interference")
    parser.add_argument("--quick", action="store_true", help="fewer tokens, to see that it works")
    parser.add_argument("--every", type=float, nargs="+", default=[2.5], help="seconds between prompts")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1])
    parser.add_argument("--without-ray", action="store_true", help="ours as plain processes")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--cache", type=Path, help="folder for the model")
    parser.add_argument("--logs", type=Path, help="folder for the servers' logs, with a short name")
    add_vllm_option(parser)
    return parser.parse_args()


def main() -> None:
    """Prints the report."""
    end_on_sigterm()
    args = arguments()
    every = tuple(args.every)
    load = Load(decode_tokens=40, every_s=every) if args.quick else Load(every_s=every)
    start, model = hardware(), model_folder(args.cache)
    work = args.logs or Path(tempfile.mkdtemp(prefix="bb-"))
    core = measure_box(tuple(args.cores[:1]))
    rows = [
        Row("one core", "hardware", "read bandwidth", core.read_gb_s, "GB/s"),
        Row("one core", "hardware", "bf16 matmul", core.matmul_tflop_s, "TFLOP/s"),
    ]
    started = "without Ray" if args.without_ray else "on Ray Serve (baton up)"
    notes = [f"ours runs {started}", put_client_first()]
    absent, failed = ["vLLM"] if "vllm" in args.only and not args.vllm_python else [], []
    for command in commands(args, model, work):
        try:
            rows += system_rows(command, load, work)
        except (ServerFailed, AnswerFailed, OSError) as wrong:
            failed.append(f"{command.system} failed: {wrong}")
        except (KeyboardInterrupt, SystemExit):
            failed.append(f"interrupted at {command.system}")  # what was measured is worth telling
            break
    shares = core_share_row(rows, load, core)
    if shares and shares[0].value < SUSTAINED_SHARE:
        notes.append(f"prefill runs below {SUSTAINED_SHARE:.0%} of its core: run also with `--every 4`")
    notes += [*failed, f"load average at the end {os.getloadavg()[0]:.1f}"]
    reach = tuple(reaches(rows, every))
    print(Report("interference", start, (*rows, *shares), reach, tuple(absent), tuple(notes)).text())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

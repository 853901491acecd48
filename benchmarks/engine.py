"""Measures the engine beside its peers on one model, in turn: `make bench-engine`.

Everybody answers the same token-id prompts of the same random-weight model, all but the library
peer over HTTP with the same client. Ours is one colocated decode worker on all cores, behind its own
HTTP door and without Ray, since vLLM is served without an orchestrator too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.box import BoxRates, hardware, measure_box
from benchmarks.client_priority import put_client_first
from benchmarks.engine_work import QUICK, Sizes, decode_work, long_work, measure_server, prefill_work
from benchmarks.figures import NeverTogether, batch_tokens_per_s
from benchmarks.library_peer import NAME as LIBRARY
from benchmarks.library_peer import add_transformers_option, library_answers
from benchmarks.model_047b import model_folder
from benchmarks.ours import Shape, our_server
from benchmarks.peer_vllm import SETTINGS, add_vllm_option, vllm_server
from benchmarks.prompts import prompts
from benchmarks.report import Reach, Report, Row, at_least
from benchmarks.server import ServerCommand, ServerFailed, end_on_sigterm, running_server
from benchmarks.stream_client import AnswerFailed

OURS = "Baton"
SYSTEMS = ("baton", "vllm", "transformers")
DECODE_TARGETS = {1: 1.4, 8: 1.25, 32: 1.25}
PREFILL_TARGET = 1.5
LIBRARY_TARGET = 5.0


def server_rows(command: ServerCommand, sizes: Sizes, box: BoxRates, work: Path) -> list[Row]:
    """Starts one server, measures it, stops it."""
    tell(f"{command.system} starts")
    with running_server(command, work / f"{command.system.replace(' ', '-')}.log") as server:
        tell(f"{command.system} is measured")
        return asyncio.run(measure_server(server, sizes, box))


def library_rows(python: Path, model: Path, sizes: Sizes, threads: int) -> list[Row]:
    """The library peer does the long work only."""
    tell(f"{LIBRARY} is measured")
    asked = prompts("long", sizes.long_batch, sizes.long_prompt)
    answers = library_answers(python, model, asked, sizes.library_tokens, threads)
    return [Row(long_work(sizes), LIBRARY, "throughput", batch_tokens_per_s(answers), "tokens/s")]


def reaches(rows: Sequence[Row], sizes: Sizes) -> list[Reach]:
    """Our throughput over the peers'; nothing where a peer is absent."""
    rates = {(row.work, row.system): row.value for row in rows if row.metric == "throughput"}
    wanted = [(decode_work(batch), DECODE_TARGETS.get(batch)) for batch in sizes.decode_batches]
    wanted += [(prefill_work(length), PREFILL_TARGET) for length in sizes.prefill_lengths]
    found = []
    for work, target in wanted:
        peers = [rates[work, peer] for peer in SETTINGS if (work, peer) in rates]
        if peers and (work, OURS) in rates and target is not None:
            ratio = rates[work, OURS] / max(peers)
            found.append(at_least(work, "tokens/s over vLLM's best setting", ratio, target))
    work = long_work(sizes)
    if (work, LIBRARY) in rates and (work, OURS) in rates:
        ratio = rates[work, OURS] / rates[work, LIBRARY]
        found.append(at_least(work, "tokens/s over transformers", ratio, LIBRARY_TARGET))
    return found


def tell(what: str) -> None:
    """Progress, beside the report."""
    load = os.getloadavg()[0]
    print(f"... {what} (load average {load:.1f})", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.engine")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it works")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument(
        "--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)), help="default: all"
    )
    parser.add_argument("--cache", type=Path, help="folder for the model")
    parser.add_argument("--logs", type=Path, help="folder for the servers' logs")
    add_vllm_option(parser)
    add_transformers_option(parser)
    return parser.parse_args()


def server_commands(args: argparse.Namespace, model: Path, work: Path) -> list[ServerCommand]:
    """How each server that is wanted and there is started."""
    cores, found = tuple(args.cores), []
    if "baton" in args.only:
        found.append(our_server(Shape(OURS, (), cores, with_ray=False), model, work))
    if "vllm" in args.only and args.vllm_python:
        found += [vllm_server(setting, args.vllm_python, model, cores) for setting in args.vllm_settings]
    return found


def measure_all(args: argparse.Namespace, sizes: Sizes, box: BoxRates, failed: list[str]) -> list[Row]:
    """One system after another. What fails is told in `failed`; an interrupt ends the run, and what
    was measured before it is still reported."""
    model = model_folder(args.cache)
    work = args.logs or Path(tempfile.mkdtemp(prefix="baton-bench-"))
    rows: list[Row] = []
    system = ""
    try:
        for command in server_commands(args, model, work):
            system = command.system
            try:
                rows += server_rows(command, sizes, box, work)
            except (ServerFailed, AnswerFailed, NeverTogether, OSError) as wrong:
                failed.append(f"{system} failed: {wrong}")
        if "transformers" in args.only:
            system = LIBRARY
            rows += library_rows(args.transformers_python, model, sizes, len(args.cores))
    except (KeyboardInterrupt, SystemExit):
        failed.append(f"interrupted at {system}")
    except (subprocess.SubprocessError, NeverTogether, OSError) as wrong:
        failed.append(f"{system} failed: {wrong}")
    return rows


def main() -> None:
    """Prints the report."""
    end_on_sigterm()
    args = arguments()
    sizes = QUICK if args.quick else Sizes()
    start, failed = hardware(), list[str]()
    box = measure_box(tuple(args.cores))
    priority = put_client_first()
    rows = [
        Row("this machine", "hardware", "read bandwidth", box.read_gb_s, "GB/s"),
        Row("this machine", "hardware", "bf16 matmul", box.matmul_tflop_s, "TFLOP/s"),
        *measure_all(args, sizes, box, failed),
    ]
    absent = ("vLLM",) if "vllm" in args.only and not args.vllm_python else ()
    notes = (priority, *failed, f"load average at the end {os.getloadavg()[0]:.1f}")
    used = f"{start}; cores used: {len(args.cores)}"
    print(Report("engine", used, tuple(rows), tuple(reaches(rows, sizes)), absent, notes).text())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

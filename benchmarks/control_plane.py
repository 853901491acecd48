"""Measures everything but the engines: `make bench-control_plane`.

Two prefill and two decode workers with modelled engines behind HTTP, in real time and a hundred times
faster; beside it Dynamo, live, with its mock engines and the same formulas.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.box import hardware
from benchmarks.control_plane_work import ALONE_PROMPTS, Sizes, alone_work, crowd_work, measure
from benchmarks.engine import tell
from benchmarks.peer_dynamo import NAME, add_dynamo_option, dynamo_server
from benchmarks.report import Reach, Report, Row, at_least, at_most
from benchmarks.server import ServerCommand, ServerFailed, end_on_sigterm, running_server
from benchmarks.stream_client import AnswerFailed, Endpoint
from cluster.default_model import DEFAULT_MODEL
from cluster.preflight import free_port

OURS, THEIRS = "Baton", "Dynamo"
SPEEDUPS = (100.0, 1.0)
QUICK = Sizes(alone=10, clients=(16,), each=3, fast=48)
ALONE_TTFT_MS = 15.0
"""At a hundred times the speed."""
CROWD_TTFT_SHARE, SHARE_CLIENTS = 0.7, 64
"""In real time."""


def system_name(maker: str, speedup: float) -> str:
    """As it stands in the table."""
    return f"{maker} {speedup:g}x"


def spec_document(port: int, speedup: float) -> dict[str, object]:
    """The bounds of a step are Dynamo's defaults."""
    return {
        "model": DEFAULT_MODEL,
        "served_name": NAME,
        "engine": "modelled",
        "mock": {"speedup": speedup},
        "pools": {"prefill": {"replicas": 2}, "decode": {"replicas": 2}},
        "gateway": {"port": port},
        "scheduling": {"max_batch_tokens": 8192, "max_running": 256},
    }


def our_server(speedup: float, work: Path) -> ServerCommand:
    """Writes the spec below `work` and says how it is started."""
    port = free_port("127.0.0.1")
    spec = work / f"modelled-{speedup:g}.yaml"
    spec.write_text(json.dumps(spec_document(port, speedup)), encoding="utf-8")  # JSON is YAML
    return ServerCommand(
        system=system_name(OURS, speedup),
        argv=(sys.executable, "-c", "from cluster.cli import app; app(prog_name='baton')", "up", str(spec)),
        endpoint=Endpoint(port, NAME),
        ready_path="/ready",
        environment=(("BATON_RUN_DIR", str(work / f"run{speedup:g}")),),
    )


def servers(args: argparse.Namespace, work: Path) -> list[tuple[float, ServerCommand]]:
    """Ours and theirs in turn, and how fast their engines are."""
    found: list[tuple[float, ServerCommand]] = []
    for speedup in args.speedups:
        if OURS in args.only:
            found.append((speedup, our_server(speedup, work)))
        if THEIRS in args.only and args.dynamo_python:
            name = system_name(THEIRS, speedup)
            theirs = dynamo_server(name, args.dynamo_python, Path(DEFAULT_MODEL), speedup)
            found.append((speedup, theirs))
    return found


def reaches(rows: Sequence[Row], clients: Sequence[int]) -> list[Reach]:
    """As far as the systems are there."""
    values = {(row.work, row.system, row.metric): row.value for row in rows}
    found: list[Reach] = []
    fast, theirs = system_name(OURS, 100.0), system_name(THEIRS, 100.0)
    alone = values.get((alone_work(ALONE_PROMPTS[0]), fast, "TTFT p50"))
    if alone is not None:
        found.append(at_most(alone_work(ALONE_PROMPTS[0]), "100x: TTFT p50, ms", alone, ALONE_TTFT_MS))
    for work in map(crowd_work, clients):
        if (work, fast, "throughput") in values and (work, theirs, "throughput") in values:
            rate, cpu = (
                values[work, fast, metric] / values[work, theirs, metric]
                for metric in ("throughput", "server CPU a token")
            )
            found.append(at_least(work, "100x: tokens/s over Dynamo's", rate, 1.0))
            found.append(at_most(work, "100x: CPU a token over Dynamo's", cpu, 1.0))
    work = crowd_work(SHARE_CLIENTS)
    both = [values.get((work, system_name(maker, 1.0), "TTFT p50")) for maker in (OURS, THEIRS)]
    if both[0] is not None and both[1] is not None:
        found.append(at_most(work, "1x: TTFT p50 over Dynamo's", both[0] / both[1], CROWD_TTFT_SHARE))
    return found


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.control_plane")
    parser.add_argument("--quick", action="store_true", help="few requests, to see that it works")
    parser.add_argument("--speedups", type=float, nargs="+", default=list(SPEEDUPS))
    parser.add_argument("--clients", type=int, nargs="+", help="default: 16 64 128")
    parser.add_argument("--each", type=int, help="answers to each of many clients")
    parser.add_argument("--only", nargs="+", choices=(OURS, THEIRS), default=(OURS, THEIRS))
    parser.add_argument("--logs", type=Path, help="folder for the servers' logs, with a short name")
    add_dynamo_option(parser)
    return parser.parse_args()


def sizes_of(args: argparse.Namespace) -> Sizes:
    """What is asked for."""
    sizes = QUICK if args.quick else Sizes()
    clients = tuple(args.clients or sizes.clients)
    return Sizes(sizes.alone, clients, args.each or sizes.each, sizes.fast)


def main() -> None:
    """Prints the report."""
    end_on_sigterm()
    args = arguments()
    sizes, start = sizes_of(args), hardware()
    work = args.logs or Path(tempfile.mkdtemp(prefix="bc-"))
    work.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    failed: list[str] = []
    for speedup, command in servers(args, work):
        tell(f"{command.system} starts")
        try:
            with running_server(command, work / f"{command.system.replace(' ', '-')}.log") as server:
                tell(f"{command.system} is measured")
                rows += asyncio.run(measure(server, sizes, speedup))
        except (ServerFailed, AnswerFailed, OSError) as wrong:
            failed.append(f"{command.system} failed: {wrong}")
    absent = ("Dynamo",) if THEIRS in args.only and not args.dynamo_python else ()
    notes = (*failed, f"load average at the end {os.getloadavg()[0]:.1f}")
    print(
        Report("control_plane", start, tuple(rows), tuple(reaches(rows, sizes.clients)), absent, notes).text()
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

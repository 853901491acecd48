"""`make chaos`: kills and freezes the processes of a real cluster under load, and checks every token.

The last line is one JSON object. Exit status 1 if a token was wrong, a stream failed that was not a
killed gateway's, a block leaked, or an engine ended that nobody killed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.box import hardware
from benchmarks.server import end_on_sigterm
from tests.chaos.changes import Changes
from tests.chaos.faults import CHANGES, PROFILES
from tests.chaos.ledger import settled_leaks
from tests.chaos.load import Load, References, undisturbed
from tests.chaos.nemesis import Nemesis
from tests.chaos.reference import Margins
from tests.chaos.report import Findings, report
from tests.chaos.stage import Sizes, Stage, open_stage
from tests.chaos.talks import Talk, make_talks
from tests.chaos.witness import Witness


def options() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.chaos")
    parser.add_argument("--streams", type=int, default=300, help="streams, at least")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load under faults, at least")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two faults")
    parser.add_argument("--at-once", type=int, default=32, help="talks at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=[*PROFILES, CHANGES], default="mixed")
    parser.add_argument("--prefill", type=int, default=2)
    parser.add_argument("--decode", type=int, default=2)
    parser.add_argument("--gateways", type=int, default=1)
    return parser.parse_args()


async def play(stage: Stage, args: argparse.Namespace) -> Findings:
    """The undisturbed run, then the same with faults."""
    talks = make_talks(args.seed, args.streams)
    began_s = time.monotonic()
    margins = Margins(stage.model)
    references = await undisturbed(stage.port, talks, args.at_once, margins)
    calm_s = time.monotonic() - began_s
    print(f"undisturbed: {len(references)} streams in {calm_s:.1f} s", flush=True)
    return await disturbed(stage, args, talks, references)


def trouble(stage: Stage, args: argparse.Namespace) -> Nemesis | Changes:
    """What happens to the cluster while it answers."""
    if args.profile == CHANGES:
        return Changes(stage, args.every)
    return Nemesis(stage, args.seed, args.profile, args.every)


async def disturbed(
    stage: Stage, args: argparse.Namespace, talks: list[Talk], references: References
) -> Findings:
    """Load and faults together, then quiet."""
    began_s = time.monotonic()
    witness = Witness(stage)
    nemesis = trouble(stage, args)
    load = Load(stage.port, references, nemesis.gateway_deaths)
    async with asyncio.TaskGroup() as together:
        watching = together.create_task(witness.run())
        faults = together.create_task(nemesis.run())
        enough = lambda: nemesis.through and time.monotonic() - began_s > args.seconds  # noqa: E731
        await load.run(talks, args.at_once, enough)
        loaded_s = time.monotonic() - began_s
        await nemesis.rest(faults)
        await nemesis.mended()
        blocks, leaks = await settled_leaks(stage)
        watching.cancel()
    vanished = witness.vanished(nemesis.ended)
    return Findings(
        tuple(load.outcomes), tuple(nemesis.deeds), blocks, leaks, vanished, loaded_s, args.at_once
    )


def main() -> int:
    """The exit status."""
    end_on_sigterm()
    args = options()
    where = hardware()
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp", ignore_cleanup_errors=True) as folder:
        with open_stage(Path(folder), Sizes(args.prefill, args.decode, args.gateways)) as stage:
            findings = asyncio.run(play(stage, args))
    print(report(findings, where, args.profile, args.seed).text())
    return 0 if findings.good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs benchmarks/peer_transformers.py and reads what it answers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Answer

PYTHON_VARIABLE = "BATON_BENCH_TRANSFORMERS_PYTHON"
NAME = "transformers"
SCRIPT = Path(__file__).with_name("peer_transformers.py")
DEADLINE_S = 1800.0


def add_transformers_option(parser: argparse.ArgumentParser) -> None:
    """`--transformers-python`; Baton needs transformers itself, so it is there by default."""
    parser.add_argument(
        "--transformers-python",
        type=Path,
        default=os.environ.get(PYTHON_VARIABLE, sys.executable),
        help=f"python of the environment that has transformers (or {PYTHON_VARIABLE}); default: this one",
    )


def library_answers(
    python: Path, model: Path, prompts: Sequence[Sequence[int]], max_tokens: int, threads: int
) -> list[Answer]:
    """All prompts at once through continuous batching. Raises CalledProcessError, TimeoutExpired."""
    return _answers(python, model, prompts, max_tokens, "cpu", {"OMP_NUM_THREADS": str(threads)})


def library_seconds(
    python: Path, model: Path, prompts: Sequence[Sequence[int]], max_tokens: int, device: str
) -> float:
    """From all prompts at once to the last token of all. Raises CalledProcessError, TimeoutExpired."""
    answers = _answers(python, model, prompts, max_tokens, device, {})
    return max(one.arrived_s[-1] for one in answers) - min(one.sent_s for one in answers)


def _answers(
    python: Path,
    model: Path,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    device: str,
    environment: dict[str, str],
) -> list[Answer]:
    job = {
        "prompts": list(map(list, prompts)),
        "max_tokens": max_tokens,
        "warm_up": list(prompts[0][:64]),
        "device": device,
    }
    done = subprocess.run(
        [str(python), str(SCRIPT), str(model)],
        input=json.dumps(job),
        env={**os.environ, **environment, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    found = json.loads(done.stdout.splitlines()[-1])["answers"]
    return [Answer(one["sent_s"], tuple(one["arrived_s"]), one["tokens"]) for one in found]

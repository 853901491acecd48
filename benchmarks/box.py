"""What the machine itself can do: read bandwidth, and bf16 matmul rate at this model's shapes.

Each measurement runs in a process of its own, on the cores asked for, with a thread on each.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SLICE_WORDS, SLICES = 16 << 20, 8
"""Of 4 bytes: slices of 64 MiB, read in turn, so that each has left every cache when it comes again."""
MATMUL_ROWS = (256, 512)
MATMUL_SHAPES = ((1024, 1024), (3072, 1024))
REPEATS = 200
"""Of about a millisecond each: on a machine that is shared, some have it to themselves."""
MATMUL_FLAGS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True, slots=True)
class BoxRates:
    """The best of a few repeats."""

    cores: int
    read_gb_s: float
    matmul_tflop_s: float


def hardware() -> str:
    """One line about the machine, and whether somebody else is using it."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    facts = dict(
        (name.strip(), value.strip())
        for name, separator, value in (line.partition(":") for line in cpuinfo.splitlines())
        if separator
    )
    flags = [flag for flag in MATMUL_FLAGS if flag in facts.get("flags", "").split()]
    load = os.getloadavg()
    return (
        f"{facts.get('model name', platform.machine())}, {len(os.sched_getaffinity(0))} cores, "
        f"{' '.join(flags) or 'no bf16 matmul'}; "
        f"load average at the start {load[0]:.1f} (1 min), {load[1]:.1f} (5 min)"
    )


def measure_box(cores: tuple[int, ...]) -> BoxRates:
    """Measures now. Raises CalledProcessError."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(cores))}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.box", ",".join(map(str, cores))],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return BoxRates(**json.loads(done.stdout.splitlines()[-1]))


def _best_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def read_gb_s() -> float:
    """Sums slices of memory; numpy's lies in huge pages, as weights and KV do, and is read faster."""
    import numpy as np
    import torch

    slices = itertools.cycle(torch.from_numpy(np.ones((SLICES, SLICE_WORDS), np.float32)))
    return 4 * SLICE_WORDS / _best_s(lambda: next(slices).sum()) / 1e9


def matmul_tflop_s() -> float:
    """The best shape, with weights that the matmul library has packed for itself."""
    import torch

    rates = []
    for rows, (outputs, inputs) in itertools.product(MATMUL_ROWS, MATMUL_SHAPES):
        weights = torch.randn(outputs, inputs).bfloat16()
        packed = torch.ops.mkldnn._reorder_linear_weight(weights, rows)
        given = torch.randn(rows, inputs).bfloat16()
        multiply = functools.partial(torch.ops.mkldnn._linear_pointwise, given, packed, None, "none", [], "")
        rates.append(2 * rows * outputs * inputs / _best_s(multiply) / 1e12)
    return max(rates)


def main() -> None:
    """Prints the rates of the cores named on the command line."""
    cores = tuple(int(core) for core in sys.argv[1].split(","))
    os.sched_setaffinity(0, cores)
    import torch

    torch.set_num_threads(len(cores))
    print(json.dumps(asdict(BoxRates(len(cores), read_gb_s(), matmul_tflop_s()))))


if __name__ == "__main__":
    main()

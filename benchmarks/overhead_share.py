"""How long whole decode steps of the 0.47 B model take in the engine: plan, forward, sample and commit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SHARE_BATCHES = (1, 8, 32)
SHARE_TARGET = 0.02
PROMPT = 64
WARM_UP = 5
KV_BYTES = 1 << 30


def step_us(model: Path, threads: int, steps: int) -> dict[int, float]:
    """Microseconds of the shortest step, by batch, so that a machine which is shared flatters nobody's share;
    in a process of its own. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead_share", str(model), str(threads), str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(zip(SHARE_BATCHES, map(float, done.stdout.splitlines()[-1].split()), strict=True))


def measure_steps(model: Path, threads: int, steps: int) -> Sequence[float]:
    """Microseconds for each of SHARE_BATCHES."""
    from engine.engine import Engine
    from engine.schedule import SchedulePolicy
    from engine.torch_runner.load_options import LoadOptions
    from engine.torch_runner.torch_runner import TorchRunner
    from protocol.ids import RequestId
    from protocol.request import Assignment, Request
    from protocol.sampling import Sampling

    options = LoadOptions(str(model), KV_BYTES, time.monotonic, dtype="bf16", threads=threads)
    runner, found = TorchRunner.load(options), []
    greedy, limit = Sampling(seed=1, temperature=0.0), WARM_UP + steps + 1
    for batch in SHARE_BATCHES:
        engine = Engine(runner, SchedulePolicy(max_batch_tokens=PROMPT * batch, max_running=batch))
        for number in range(batch):
            prompt = tuple(number * PROMPT + place for place in range(PROMPT))
            request = Request(RequestId(f"r{number}"), runner.facts.model, prompt, greedy, limit + 1)
            engine.admit(engine.sequence(Assignment(request, 0, (), 600.0), limit + 1))
        times = []
        for _ in range(limit):
            start = time.perf_counter()
            step = engine.plan()
            if step is None:
                raise RuntimeError("nothing was planned")
            engine.commit(step, runner.launch(step).result())
            engine.release_ended()
            times.append(time.perf_counter() - start)
        found.append(min(times[1 + WARM_UP :]) * 1e6)
    return found


def main() -> None:
    """Prints them."""
    model, threads, steps = sys.argv[1:]
    print(*measure_steps(Path(model), int(threads), int(steps)))


if __name__ == "__main__":
    main()

"""Many short pieces of work, by the clock on the wall and by CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Stopwatch:
    """Seconds of each piece. On a machine that others use too, the wall's high percentiles are the waits
    for a core; CPU seconds, of all threads of this process, are without them."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Times one call."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work(*args, **kwargs)
        self.cpu_s.append(time.process_time() - cpu)
        self.wall_s.append(time.perf_counter() - wall)
        return result

"""Whether a request whose attempt was lost is tried again, and when it is to blame itself."""

from __future__ import annotations

from collections.abc import Callable

from gateway.attempt import AttemptRun
from gateway.engine_death import EngineDeath
from gateway.journey import Journey
from gateway.quarantine import Quarantine
from protocol.errors import BatonError, Quarantined, RetriesSpent, WorkerLeaving
from protocol.limits import Limits

RETRY_AFTER_S = 2.0


class Recovery:
    """Counts what each request has lost.

    Planned ends are free. A death that a worker announces has a bound of its own, as most of those
    that it hits are innocent; and whoever was in the running step is a suspect. Everything else that
    is lost has the ordinary bound.
    """

    def __init__(self, quarantine: Quarantine, limits: Limits, on_replan: Callable[[], object]) -> None:
        self._quarantine = quarantine
        self._limits = limits
        self._on_replan = on_replan

    def lost(self, journey: Journey, run: AttemptRun, error: BatonError) -> None:
        """One attempt was lost. Raises RetriesSpent or Quarantined if there is to be no other."""
        journey.lost(error, run.failed_at)
        if isinstance(error, EngineDeath):
            journey.deaths += 1
            self._suspect(journey, run, error)
        elif not isinstance(error, WorkerLeaving):
            journey.failures += 1
        if journey.failures > self._limits.max_replans or journey.deaths > self._limits.max_deaths:
            lost = journey.failures + journey.deaths
            spent = f"{lost} attempts failed, the last one so: {error.message}"
            raise RetriesSpent(spent, retry_after_s=RETRY_AFTER_S) from error
        self._quarantine.check(journey.request)  # another gateway may have found out
        if run.failed_at is not None:
            journey.avoid = journey.avoid | {run.failed_at}
        self._on_replan()

    def _suspect(self, journey: Journey, run: AttemptRun, death: EngineDeath) -> None:
        """Only a request that was alone in its step, after two deaths among others, is to blame."""
        if run.key not in death.suspects:
            return
        journey.suspicion += 1
        if run.alone and death.suspects == (run.key,):
            self._quarantine.put(journey.request)
            raise Quarantined(
                f"{journey.suspicion} engines died computing this request, the last one while it computed "
                "nothing else: the request is not tried again"
            ) from death

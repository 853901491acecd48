"""The view of the modelled cluster, kept up to date without delay."""

from __future__ import annotations

import numpy as np

from replay.modelled_engine import ModelledEngine
from replay.settings import PolicyName, ReplaySettings
from router.cluster_view import ClusterView
from router.pull_rates import PullRates
from router.step_model import StepModel

OUTPUT_PRIOR = 256.0
OUTPUT_WEIGHT = 0.01


class Board:
    """Arrays that the planner reads; what it learns from is fed by engines and links."""

    def __init__(self, settings: ReplaySettings) -> None:
        count = settings.prefills + settings.decodes
        self.workers = count
        self.steps = StepModel(count)
        self.pulls = PullRates(count)
        self.seats = np.zeros(count)
        """Sequences that are placed on a decode worker and do not decode yet."""
        self._decodes = np.arange(count) >= settings.prefills
        self._queued, self._step_tokens = np.zeros(count), np.ones(count)
        self._running, self._kv = np.zeros(count), np.zeros(count)
        self._free = np.full(count, float(settings.kv_tokens))
        self._output = OUTPUT_PRIOR
        self._prefills = ~self._decodes & (settings.policy is not PolicyName.ALWAYS_LOCAL)
        self._local = self._decodes & (settings.policy is not PolicyName.ALWAYS_REMOTE)

    def note(self, engine: ModelledEngine) -> None:
        """An engine's load is another."""
        place = engine.number
        running = len(engine.batch)
        self._queued[place] = engine.queued_tokens
        self._step_tokens[place] = engine.times.chunk_beside(running, engine.used_share)
        self._running[place] = running + self.seats[place]
        self._kv[place] = engine.room.used if self._decodes[place] else 0.0
        self._free[place] = engine.room.free

    def learn_output(self, tokens: int) -> None:
        """A request has ended after so many tokens."""
        self._output += OUTPUT_WEIGHT * (tokens - self._output)

    def view(self, waiting: int) -> ClusterView:
        """As of now, with so many at the gateway; the arrays are the board's own."""
        return ClusterView(
            prefills=self._prefills,
            decodes=self._decodes,
            computes_local=self._local,
            queued_tokens=self._queued,
            step_tokens=self._step_tokens,
            running=self._running,
            kv_tokens=self._kv,
            free_tokens=self._free,
            steps=self.steps,
            pulls=self.pulls,
            expected_output=self._output,
            waiting=waiting,
        )

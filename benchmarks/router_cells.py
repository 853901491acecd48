"""The cells of the router's comparison: which trace, cluster and load, and who decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kept_outcomes import KeptOutcomes
from replay.outcome import Outcome
from replay.replay import replay
from replay.settings import PolicyName, ReplaySettings
from replay.trace import TraceRequest, scaled
from replay.trace_file import read_trace

SHARES = (0.7, 0.9, 1.1)
"""Of the saturating rate."""
SATURATED = 0.9
"""Goodput of the Dynamo policy at the saturating rate."""
SEARCH_STEPS = 7
"""Halvings: the rate is found within 1 %."""
RIVALS = (
    PolicyName.DYNAMO,
    PolicyName.ROUND_ROBIN,
    PolicyName.LEAST_LOADED,
    PolicyName.STATIC_THRESHOLD,
)
HALVES = (PolicyName.ALWAYS_LOCAL, PolicyName.ALWAYS_REMOTE)


@dataclass(frozen=True, slots=True)
class Setup:
    """One trace on one cluster."""

    trace: str
    requests: tuple[TraceRequest, ...]
    count: int
    """How many are replayed."""
    settings: ReplaySettings
    kept: KeptOutcomes

    @property
    def name(self) -> str:
        """For tables."""
        pools = f"{self.settings.prefills}P+{self.settings.decodes}D"
        return f"{self.trace} {pools} {self.settings.kv_tokens // 1000}k"

    def run(self, policy: PolicyName, rate: float) -> Outcome:
        """One replay, or what it gave before."""
        key = f"{self.name}, {self.count} requests"
        found = self.kept.get(key, policy, rate)
        if found is None:
            requests = scaled(self.requests, rate, self.count)
            found = replay(requests, replace(self.settings, policy=policy))
            self.kept.put(key, policy, rate, found)
        return found

    def saturating_rate(self) -> float:
        """The highest rate at which the Dynamo policy's goodput is at least 90 %, in requests/s."""
        low, high = 0.0, 1.0
        while self.run(PolicyName.DYNAMO, high).goodput >= SATURATED:
            low, high = high, high * 2.0
        for _ in range(SEARCH_STEPS):
            middle = (low + high) / 2.0
            if self.run(PolicyName.DYNAMO, middle).goodput >= SATURATED:
                low = middle
            else:
                high = middle
        return low


@dataclass(frozen=True, slots=True)
class Cell:
    """One setup at one load: everybody's outcome."""

    setup: str
    share: float
    rate: float
    outcomes: dict[PolicyName, Outcome]

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.setup} at {self.share:.0%}"

    @property
    def goodput_ratio(self) -> float:
        """Ours over the best rival's; 1 where nobody has any."""
        return _ratio(self._ours.goodput, max(self.outcomes[rival].goodput for rival in RIVALS))

    @property
    def dynamo_ratio(self) -> float:
        """Ours over the Dynamo policy's goodput."""
        return _ratio(self._ours.goodput, self.outcomes[PolicyName.DYNAMO].goodput)

    @property
    def ttft_p99_ratio(self) -> float:
        """Ours over the best rival's: below 1 is better."""
        return _ratio(self._ours.ttft_p99_s, min(self.outcomes[rival].ttft_p99_s for rival in RIVALS))

    @property
    def choice_ratio(self) -> float:
        """Ours over the better of always-local and always-remote, in goodput."""
        return _ratio(self._ours.goodput, max(self.outcomes[half].goodput for half in HALVES))

    @property
    def _ours(self) -> Outcome:
        return self.outcomes[PolicyName.OURS]


def cells_of(setup: Setup, shares: Sequence[float] = SHARES) -> list[Cell]:
    """Every load of one setup."""
    rate = setup.saturating_rate()
    everybody = (PolicyName.OURS, *RIVALS, *HALVES)
    return [
        Cell(setup.name, share, rate * share, {one: setup.run(one, rate * share) for one in everybody})
        for share in shares
    ]


def setups(
    folder: Path, pools: Sequence[tuple[int, int]], count: int | None, kept: KeptOutcomes
) -> list[Setup]:
    """Both traces on each pair of pools, with ample and with scarce KV room."""
    found = []
    for path in sorted(folder.glob("mooncake_*.jsonl")):
        requests = read_trace(path)
        name = path.stem.removeprefix("mooncake_").split("_")[0]
        found += [
            Setup(name, requests, count or len(requests), ReplaySettings(prefills, decodes, kv_tokens), kept)
            for prefills, decodes in pools
            for kv_tokens in (2_000_000, 262_144)
        ]
    return found


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else 1.0 if not ours else 100.0

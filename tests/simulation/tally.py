"""Many runs in a few numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.report import Report

KEPT = 20
"""Failed seeds that are kept by name."""


@dataclass(slots=True)
class Tally:
    """Sums over seeds. Bounded, however many they are."""

    seeds: int = 0
    failed: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    """(seed, first complaint) of the first failed seeds."""
    stayed: int = 0
    complete: int = 0
    strikes: int = 0
    replans: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Typed errors of clients who stayed, by code."""

    def add(self, report: Report) -> None:
        """One more run."""
        self.seeds += 1
        self.stayed += report.stayed
        self.complete += report.complete
        self.strikes += report.strikes
        self.replans += report.replans
        self.errors.update(report.errors)
        if report.complaints:
            self.failed += 1
            self._keep([(report.seed, report.complaints[0])])

    def join(self, other: Tally) -> None:
        """The sums of other seeds."""
        self.seeds += other.seeds
        self.failed += other.failed
        self.stayed += other.stayed
        self.complete += other.complete
        self.strikes += other.strikes
        self.replans += other.replans
        self.errors.update(other.errors)
        self._keep(other.failures)

    def line(self, name: str, seconds: float, cores: int) -> str:
        """One line."""
        share = 100.0 * self.complete / self.stayed if self.stayed else 100.0
        errors = ", ".join(f"{count} {code}" for code, count in sorted(self.errors.items())) or "none"
        return (
            f"{name}: {self.seeds} seeds, {self.failed} failed; {self.complete} of {self.stayed} clients who "
            f"stayed got their full answer ({share:.3f} %), errors: {errors}; {self.strikes} faults, "
            f"{self.replans} re-plans; {seconds:.1f} s, {self.seeds / seconds / cores:.1f} seeds/s/core"
        )

    def _keep(self, failures: list[tuple[int, str]]) -> None:
        self.failures = (self.failures + failures)[:KEPT]

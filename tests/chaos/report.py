"""What a run found out, as a table and one JSON object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchmarks.figures import percentile
from benchmarks.report import Report, Row, at_most
from tests.chaos.ledger import Leaks
from tests.chaos.load import Outcome
from tests.chaos.nemesis import Deed
from tests.chaos.reference import Verdict


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one run."""

    outcomes: tuple[Outcome, ...]
    deeds: tuple[Deed, ...]
    blocks: int
    """Of all pools at the end."""
    leaks: Leaks
    vanished: tuple[str, ...]
    """Workers of which a life ended that nobody ended."""
    loaded_s: float
    at_once: int

    @property
    def wrong(self) -> int:
        """Streams with a wrong token."""
        return sum(one.verdict is Verdict.WRONG for one in self.outcomes)

    @property
    def failed(self) -> Counter[str]:
        """Streams that did not end well, by code."""
        return Counter(one.failed for one in self.outcomes if one.failed)

    @property
    def leaked(self) -> int:
        """Blocks."""
        return sum(sum(owners.values()) for owners in self.leaks.values())

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.wrong or self.failed or self.leaks or self.vanished)


def report(found: Findings, hardware: str, profile: str, seed: int) -> Report:
    """`make chaos` prints its text."""
    gaps = [one.longest_gap_s for one in found.outcomes]
    near = sum(one.verdict is Verdict.NEAR_TIE for one in found.outcomes)
    complete = sum(not one.failed and one.verdict is not Verdict.WRONG for one in found.outcomes)
    figures: list[tuple[str, float, str]] = [
        ("streams", len(found.outcomes), "streams"),
        ("complete and right", complete, "streams"),
        ("of these other after a near-tie", near, "streams"),
        ("wrong", found.wrong, "streams"),
        ("failed", found.failed.total(), "streams"),
        *((f"failed: {code}", count, "streams") for code, count in sorted(found.failed.items())),
        ("asked again after a gateway's death", sum(one.retries > 0 for one in found.outcomes), "streams"),
        ("longest gap between tokens, p50", percentile(gaps, 0.5), "s"),
        ("longest gap between tokens, p99", percentile(gaps, 0.99), "s"),
        ("longest gap between tokens, max", max(gaps), "s"),
        ("blocks leaked", found.leaked, "blocks"),
        ("engines that ended by themselves", len(found.vanished), "engines"),
        ("faults", len(found.deeds), "faults"),
        *((what, count, "faults") for what, count in sorted(Counter(d.what for d in found.deeds).items())),
        ("under load", found.loaded_s, "s"),
    ]
    work = f"chaos, {profile}"
    return Report(
        bench="chaos",
        hardware=hardware,
        rows=tuple(Row(work, "baton", name, float(value), unit) for name, value, unit in figures),
        reach=(
            at_most(work, "failed streams", found.failed.total(), 0),
            at_most(work, "wrong streams", found.wrong, 0),
            at_most(work, "leaked blocks", found.leaked, 0),
            at_most(work, "engines that ended by themselves", len(found.vanished), 0),
        ),
        notes=(
            f"seed {seed}, {found.at_once} talks at a time, {found.blocks} blocks in all pools",
            *(f"leak on {worker}: {owners}" for worker, owners in found.leaks.items()),
            *(f"ended by itself: {worker}" for worker in found.vanished),
        ),
    )

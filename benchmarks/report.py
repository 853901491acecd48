"""What every benchmark prints: one table, and one JSON object as its last line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number."""

    work: str
    system: str
    metric: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Reach:
    """One number beside what it should be."""

    work: str
    metric: str
    value: float
    target: float
    met: bool


def at_least(work: str, metric: str, value: float, target: float) -> Reach:
    """Met when the value is not below the target."""
    return Reach(work, metric, value, target, value >= target)


def at_most(work: str, metric: str, value: float, target: float) -> Reach:
    """Met when the value is not above the target."""
    return Reach(work, metric, value, target, value <= target)


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run found out."""

    bench: str
    hardware: str
    rows: tuple[Row, ...]
    reach: tuple[Reach, ...]
    absent: tuple[str, ...] = ()
    """Peers that are not installed here; nothing is said in their place."""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The table, then the JSON object on a line of its own."""
        parts = [self.hardware, *self.notes, *(f"absent: {name}" for name in self.absent), ""]
        parts += table(self.rows)
        parts += reach_lines(self.reach)
        return "\n".join([*parts, "", self.json()])

    def json(self) -> str:
        """One line; numbers are rounded to what they can tell."""
        return json.dumps({
            "bench": self.bench,
            "hardware": self.hardware,
            "rows": [_rounded(asdict(row)) for row in self.rows],
            "reach": [_rounded(asdict(one)) for one in self.reach],
            "absent": list(self.absent),
            "notes": list(self.notes),
        })  # fmt: skip


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown: a line per work and metric, a column per system, in order of appearance."""
    if not rows:
        return []
    systems = list(dict.fromkeys(row.system for row in rows))
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        cells.setdefault((row.work, row.metric, row.unit), {})[row.system] = f"{row.value:.4g}"
    body = [
        [work, metric, *(values.get(system, "") for system in systems), unit]
        for (work, metric, unit), values in cells.items()
    ]
    return _markdown([["work", "metric", *systems, "unit"], *body])


def reach_lines(reach: Sequence[Reach]) -> list[str]:
    """Markdown, empty without reach."""
    if not reach:
        return []
    body = [
        [one.work, one.metric, f"{one.value:.4g}", f"{one.target:.4g}", "yes" if one.met else "no"]
        for one in reach
    ]
    return ["", *_markdown([["reach", "metric", "value", "target", "met"], *body])]


def _markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    drawn = [_line(line, widths) for line in lines]
    return [drawn[0], _line(["-" * width for width in widths], widths), *drawn[1:]]


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _rounded(values: dict[str, object]) -> dict[str, object]:
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in values.items()
    }

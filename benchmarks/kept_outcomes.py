"""Outcomes of replays on disk, so that a long comparison can be done in pieces."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec

from replay.outcome import Outcome
from replay.settings import PolicyName


class KeptOutcomes:
    """One JSON line per replay: setup, policy, rate, outcome. It knows nothing of the code that found them:
    a change of the code needs a new file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[tuple[str, str, float], Outcome] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                setup, policy, rate, outcome = msgspec.json.decode(line, type=tuple[str, str, float, Outcome])
                self._found[setup, policy, rate] = outcome

    def get(self, setup: str, policy: PolicyName, rate: float) -> Outcome | None:
        """What was found before."""
        return self._found.get((setup, policy.value, rate))

    def put(self, setup: str, policy: PolicyName, rate: float, outcome: Outcome) -> None:
        """Keeps it, on disk if there is a file."""
        self._found[setup, policy.value, rate] = outcome
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode((setup, policy.value, rate, asdict(outcome))) + b"\n")

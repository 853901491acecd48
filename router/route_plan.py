"""What the router decides, and from what."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import WorkerIdentity
from protocol.load_report import LoadReport
from protocol.messages import WorkerRecord


@dataclass(frozen=True, slots=True)
class WorkerView:
    """What one gateway knows of one worker."""

    record: WorkerRecord
    load: LoadReport | None
    """The last report; None before the first."""
    open_tokens: int
    """Prompt tokens that this gateway sent there and that are not computed yet, as far as it knows."""
    open_requests: int
    """Attempts of this gateway that are open there."""

    @property
    def identity(self) -> WorkerIdentity:
        """Which life of which worker this is."""
        return self.record.address.identity


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Where one request is to be computed."""

    decode: WorkerIdentity
    prefill: WorkerIdentity | None
    """None: the decode worker computes the prompt itself."""
    predicted_s: float
    """Predicted seconds to the first token, with the harm done to requests already running."""
    sources: tuple[WorkerIdentity, ...] = ()
    """Workers to pull cached prefixes from; always empty with the load-only router."""

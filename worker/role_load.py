"""What a role says of its part of the load."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.load_report import OwnLoad, PullSample
from protocol.mail import PeerId


@dataclass(frozen=True, slots=True)
class RoleLoad:
    """At one instant."""

    own: dict[PeerId, OwnLoad] = field(default_factory=dict)
    """By gateway; those without a request may be missing."""
    reserved: int = 0
    """Sequences whose KV is on its way, and that are not in the engine."""
    queued_tokens: int = 0
    """Prompt tokens of sequences that are to be computed here and are not in the engine yet."""
    pulls: tuple[PullSample, ...] = ()
    """Finished since it was last asked."""

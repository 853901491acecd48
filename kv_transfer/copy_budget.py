"""How many bytes may be pulled beside one step, so that copying slows it by a tenth at most."""

from __future__ import annotations

from dataclasses import dataclass

DECAY = 0.95
"""Weight of the past at each new measurement: about the last twenty posts count."""


@dataclass(frozen=True, slots=True)
class CopyCost:
    """What reads cost the machine that makes them: decayed sums of bytes and of seconds spent on them,
    inside posts and in the transport's own threads."""

    bytes: float = 0.0
    seconds: float = 0.0

    def plus(self, copied_bytes: int, seconds: float) -> CopyCost:
        """With one more measurement, older ones counting less."""
        return CopyCost(self.bytes * DECAY + copied_bytes, self.seconds * DECAY + seconds)


@dataclass(frozen=True, slots=True)
class CopyBudget:
    """Bytes per step, from what copying was measured to cost."""

    post_bytes: int
    """One post; this much is always allowed, or nothing would ever arrive."""
    share: float = 0.1
    """Of a step's time."""
    max_posts: int = 16
    """Bound where reading costs nothing here, because a network card copies."""

    def bytes_for(self, cost: CopyCost, step_s: float, in_flight_bytes: int = 0) -> int:
        """Bytes that may be posted beside a step of `step_s` seconds, when `in_flight_bytes` are already.

        share * step_s * (bytes / seconds), between one post and max_posts, less what is in flight.
        """
        ceiling = self.post_bytes * self.max_posts
        allowed = self.post_bytes
        if cost.bytes > 0:
            copied_in_share = self.share * step_s * cost.bytes
            fits = copied_in_share >= ceiling * cost.seconds
            allowed = ceiling if fits else max(allowed, int(copied_in_share / cost.seconds))
        return max(0, allowed - in_flight_bytes)

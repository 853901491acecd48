"""Shares out the time of one request among its phases, so that each second is in exactly one."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from protocol.stamp import Phase, Stamp


class PhaseClock:
    """Phases that gateways measure are differences of the gateway's own clock; workers say how long theirs
    took, and what is left of the time between two tokens is the gateway's remainder: FIRST for the first
    token of an attempt, DECODE for the others. What lost attempts took since the last token is waiting.
    """

    def __init__(self, began_at: float) -> None:
        self._seconds: dict[Phase, float] = {}
        self.told_until = began_at
        """Everything up to here is in some phase."""
        self._decode_s = 0.0
        """Of DECODE, what is not among the others yet."""
        self._placing: tuple[float, float, float] | None = None

    @property
    def placing(self) -> bool:
        """Whether an attempt has its place and its first token is still to come."""
        return self._placing is not None

    def placed(self, plan_s: float, tried_at: float, reserved_at: float) -> None:
        """An attempt has its place; its first token is still to come."""
        self._placing = (plan_s, tried_at, reserved_at)

    def spoke(self, stamps: Seq[Stamp], now: float) -> None:
        """Tokens came at `now`, with what their worker had to say of phases."""
        if self._placing is None and not stamps:  # what nearly all tokens are
            self._decode_s += now - self.told_until
            self.told_until = now
            return
        remainder = Phase.DECODE
        if self._placing is not None:
            plan_s, tried_at, reserved_at = self._placing
            self._placing = None
            remainder = Phase.FIRST
            self._add(Phase.QUEUE, tried_at - plan_s - self.told_until)
            self._add(Phase.PLAN, plan_s)
            self.told_until = tried_at
            # A worker that computes the prompt may have begun before its answer was here.
            known_s = sum(stamp.seconds for stamp in stamps)
            self._take(Phase.RESERVE, min(reserved_at, now - known_s) - tried_at, now)
        for stamp in stamps:
            self._take(stamp.phase, stamp.seconds, now)
        self._add(remainder, now - self.told_until)
        self.told_until = now

    def ended(self, now: float) -> None:
        """It ended without another token: the time since the last one was waiting."""
        self._placing = None
        if now > self.told_until:
            self._add(Phase.QUEUE, now - self.told_until)
            self.told_until = now

    def stamps(self) -> tuple[Stamp, ...]:
        """So far; a phase that was gone through again, on another worker, has added up."""
        if self._decode_s:
            self._add(Phase.DECODE, self._decode_s)
            self._decode_s = 0.0
        return tuple(Stamp(phase, seconds) for phase, seconds in self._seconds.items())

    def _take(self, phase: Phase, seconds: float, now: float) -> None:
        """Never more than there is: clocks of workers may jump."""
        taken = min(max(0.0, seconds), now - self.told_until)
        self._add(phase, taken)
        self.told_until += taken

    def _add(self, phase: Phase, seconds: float) -> None:
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

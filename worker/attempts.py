"""The attempts that one role has open: whose they are, and until when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from engine.sequence import Sequence, SequenceState
from engine.step_hook import Progress
from protocol.ids import AttemptKey
from protocol.load_report import OwnLoad
from protocol.mail import PeerId
from protocol.messages import TokenDelta
from protocol.stamp import Phase, Stamp


@dataclass(slots=True)
class Attempt:
    """One open attempt; touched by the engine's thread only."""

    sequence: Sequence
    peer: PeerId
    """The gateway that asked."""
    deadline: float
    received_at: float
    pulled_at: float | None = None
    """When its prefix had come, or would not come; None if nothing was to come."""
    started_at: float | None = None
    """Begin of the first step that computed a part of it."""
    reported: bool = False
    """A first delta went out, with the stamps."""

    @property
    def key(self) -> AttemptKey:
        """Which attempt this is."""
        return self.sequence.key

    def prefill_stamps(self, now: float) -> tuple[Stamp, ...]:
        """The wait for the prefix, queue and prefill, once the first token is there."""
        queued = self.received_at if self.pulled_at is None else self.pulled_at
        started = queued if self.started_at is None else self.started_at
        waits = (Stamp(Phase.PREFILL_QUEUE, started - queued), Stamp(Phase.PREFILL, now - started))
        if self.pulled_at is None:
            return waits
        return (Stamp(Phase.PREFIX_PULL, queued - self.received_at), *waits)

    def delta(self, progress: Progress, stamps: tuple[Stamp, ...]) -> TokenDelta | None:
        """The token that a step drew, as it travels; None if it drew none."""
        sequence, sampled = self.sequence, progress.sampled
        if sampled is None:
            return None
        logprobs = () if sampled.logprobs is None else (sampled.logprobs,)
        return TokenDelta(
            sequence.key,
            sequence.generated - 1,
            (sampled.token,),
            logprobs,
            progress.finish,
            sequence.cached or 0,
            stamps,
        )


class Attempts:
    """Open attempts by key, in order of arrival."""

    def __init__(self) -> None:
        self._open: dict[AttemptKey, Attempt] = {}
        self.turnover = 0
        """Attempts that came and attempts that went."""
        self._soonest = float("inf")
        """No deadline is before it."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._open.values()))

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._open

    def is_open(self, key: AttemptKey, peer: PeerId) -> bool:
        """Whether that gateway has this attempt open."""
        attempt = self._open.get(key)
        return attempt is not None and attempt.peer == peer

    def add(self, attempt: Attempt) -> None:
        """Opens an attempt."""
        self._open[attempt.key] = attempt
        self._soonest = min(self._soonest, attempt.deadline)
        self.turnover += 1

    def get(self, key: AttemptKey) -> Attempt | None:
        """The open attempt, if it is here."""
        return self._open.get(key)

    def remove(self, key: AttemptKey) -> Attempt | None:
        """Closes an attempt; twice is harmless."""
        attempt = self._open.pop(key, None)
        self.turnover += attempt is not None
        return attempt

    def pulled(self, sequences: Iterable[Sequence], now: float) -> None:
        """The wait of these for their prefix is over."""
        for sequence in sequences:
            if (attempt := self._open.get(sequence.key)) is not None:
                attempt.pulled_at = now

    def of_peer(self, peer: PeerId) -> list[Attempt]:
        """Everything that one gateway asked for."""
        return [attempt for attempt in self._open.values() if attempt.peer == peer]

    def own(self, coming: Container[AttemptKey] = ()) -> dict[PeerId, OwnLoad]:
        """Each gateway's part of the load. `coming`: attempts whose KV is on its way."""
        queued, running = Counter[PeerId](), Counter[PeerId]()
        for attempt in self._open.values():
            sequence, peer = attempt.sequence, attempt.peer
            if sequence.key in coming:
                running[peer] += 1
                continue
            if sequence.state is SequenceState.RUNNING:
                running[peer] += 1
            tokens = sequence.uncomputed
            if tokens > 1:
                queued[peer] += tokens
        return {peer: OwnLoad(queued[peer], running[peer]) for peer in queued | running}

    def expired(self, now: float) -> list[Attempt]:
        """Everything whose deadline has passed."""
        if now < self._soonest:
            return []
        late = [attempt for attempt in self._open.values() if attempt.deadline <= now]
        in_time = (attempt.deadline for attempt in self._open.values() if attempt.deadline > now)
        self._soonest = now if late else min(in_time, default=float("inf"))
        return late

"""What one gateway has sent to one worker."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import AttemptKey


@dataclass(frozen=True, slots=True)
class Booking:
    """What one attempt asks of one worker, in tokens."""

    prompt: int
    """To be computed there; 0 where only room is held."""
    kv: int
    """Room that its prompt takes."""


NOTHING = Booking(0, 0)


class OwnWork:
    """Attempts that are open there, each with its booking. What a report cannot know of yet is `fresh`:
    sent after it, or not admitted before it."""

    def __init__(self) -> None:
        self._open: dict[AttemptKey, Booking] = {}
        self._silent: dict[AttemptKey, None] = {}
        """No token of theirs has come from there."""
        self._fresh: dict[AttemptKey, Booking] = {}
        self._admitted: list[AttemptKey] = []
        self.prompt = 0
        """Prompt tokens whose computation is not known to be over."""
        self.fresh_prompt = 0
        self.fresh_kv = 0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._open

    def open(self, key: AttemptKey, booking: Booking) -> None:
        """An attempt is sent there."""
        self._open[key] = self._fresh[key] = booking
        self._silent[key] = None
        self.prompt += booking.prompt
        self.fresh_prompt += booking.prompt
        self.fresh_kv += booking.kv

    def admitted(self, key: AttemptKey) -> None:
        """The next report knows of it."""
        if key in self._fresh:
            self._admitted.append(key)

    def spoke(self, key: AttemptKey) -> bool:
        """A token came: its prompt is computed. Whether that is news."""
        if key not in self._silent:
            return False
        del self._silent[key]
        self.prompt -= self._open[key].prompt
        booking = self._fresh.get(key)
        if booking is not None:
            self.fresh_prompt -= booking.prompt
            self._fresh[key] = Booking(0, booking.kv)
        return True

    def close(self, key: AttemptKey) -> bool:
        """The attempt's part there is over. Whether it was open."""
        booking = self._open.pop(key, None)
        if booking is None:
            return False
        if key in self._silent:
            del self._silent[key]
            self.prompt -= booking.prompt
        self._settle(key)
        return True

    def reported(self) -> None:
        """A report has come: it knows of all that were admitted before."""
        for key in self._admitted:
            self._settle(key)
        self._admitted.clear()

    def _settle(self, key: AttemptKey) -> None:
        booking = self._fresh.pop(key, NOTHING)
        self.fresh_prompt -= booking.prompt
        self.fresh_kv -= booking.kv

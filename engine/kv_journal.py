"""What became findable in the block pool and what no longer is, for the one who tells others."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import BlockHash


@dataclass(frozen=True, slots=True)
class KvChanges:
    """The difference to the drain before; both in the order of the changes, none in both."""

    stored: tuple[BlockHash, ...] = ()
    """Findable now. Some of them were before and have moved to another block."""
    evicted: tuple[BlockHash, ...] = ()
    """Were findable, and are no longer."""

    def __bool__(self) -> bool:
        return bool(self.stored or self.evicted)


class KvJournal:
    """Keeps one entry a hash, and none for what came and went between two drains. So it never holds more
    than what was findable at the last drain and what is now, even if nobody ever drains it."""

    def __init__(self) -> None:
        self._news: dict[BlockHash, tuple[bool, bool]] = {}
        """Whether a hash was findable at the last drain, and whether it is now."""

    def __len__(self) -> int:
        return len(self._news)

    def stored(self, content: BlockHash) -> None:
        """It was not findable and is now."""
        was, _ = self._news.pop(content, (False, False))
        self._news[content] = (was, True)

    def evicted(self, content: BlockHash) -> None:
        """It was findable and is no longer."""
        was, _ = self._news.pop(content, (True, True))
        if was:
            self._news[content] = (True, False)

    def drain(self) -> KvChanges:
        """Everything since the last call."""
        if not self._news:
            return KvChanges()
        news, self._news = self._news, {}
        stored = tuple(content for content, (_, now) in news.items() if now)
        return KvChanges(stored, tuple(content for content, (_, now) in news.items() if not now))

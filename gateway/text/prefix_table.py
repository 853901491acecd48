"""How much of a text's end may be the beginning of a marker."""

from __future__ import annotations

from collections.abc import Sequence


class PrefixTable:
    """The proper prefixes of some markers, by length."""

    def __init__(self, markers: Sequence[str]) -> None:
        longest = max(map(len, markers), default=0)
        self._prefixes = [
            tuple(marker[:length] for marker in markers if len(marker) > length) for length in range(longest)
        ]

    def overhang(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a marker."""
        for length in range(min(len(self._prefixes) - 1, len(text)), 0, -1):
            if text.endswith(self._prefixes[length]):
                return length
        return 0

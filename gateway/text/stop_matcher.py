"""Stop strings: text goes out as soon as it cannot be the beginning of one, and never later."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.text.prefix_table import PrefixTable


class StopMatcher:
    """Cuts a text, which arrives in pieces, before the stop string that is complete first.

    Of two that end at the same character the longer one counts. The result does not depend on
    how the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """`stops`: none of them empty."""
        self._stops = tuple(stops)
        self._prefixes = PrefixTable(self._stops)
        self._held = ""
        self._matched = False

    @property
    def matched(self) -> bool:
        """Whether a stop string was seen; nothing more comes out then."""
        return self._matched

    def feed(self, text: str) -> str:
        """What may be shown now that `text` is here too."""
        if not self._stops or self._matched:
            return "" if self._matched else text
        text = self._held + text
        end = self._cut(text)
        self._held = "" if self._matched else text[end:]
        return text[:end]

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _cut(self, text: str) -> int:
        hits = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if not hits:
            return len(text) - self._prefixes.overhang(text)
        self._matched = True
        return min(hits)[1]

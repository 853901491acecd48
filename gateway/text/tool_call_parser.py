"""Takes `<tool_call>{...}</tool_call>` out of a text that arrives in pieces."""

from __future__ import annotations

from gateway.text.prefix_table import PrefixTable
from gateway.text.tool_call import CLOSING, OPENING, ToolCall, read_tool_call


class ToolCallParser:
    """Text outside the markers passes; a call comes out when it is complete.

    What is marked as a call but is none comes out as the text that it is: nothing is lost.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: calls at most; text after the last of them is dropped."""
        self._limit = limit
        self._prefixes = PrefixTable((OPENING,))
        self._buffer = ""
        """Outside a call: held-back text. Inside: the opening marker and what follows."""
        self._searched = 0
        """Up to here the buffer holds no closing marker."""
        self.found = 0

    @property
    def full(self) -> bool:
        """Whether the last call that is wanted was found."""
        return self.found >= self._limit

    def feed(self, text: str) -> tuple[str, tuple[ToolCall, ...]]:
        """Text to show, and the calls that are now complete."""
        self._buffer += text
        shown, calls = "", []
        while not self.full:
            shown += self._outside()
            if not self._buffer.startswith(OPENING):
                break
            whole = self._inside()
            if whole is None:
                break
            call = read_tool_call(whole[len(OPENING) : -len(CLOSING)])
            if call is None:
                shown += whole
            else:
                calls.append(call)
                self.found += 1
        return shown, tuple(calls)

    def finish(self) -> str:
        """The text of a call that was never closed, or of a marker that was never one."""
        rest, self._buffer = self._buffer, ""
        return "" if self.full else rest

    def _outside(self) -> str:
        at = self._buffer.find(OPENING) if not self._buffer.startswith(OPENING) else 0
        end = at if at >= 0 else len(self._buffer) - self._prefixes.overhang(self._buffer)
        shown, self._buffer = self._buffer[:end], self._buffer[end:]
        return shown

    def _inside(self) -> str | None:
        at = self._buffer.find(CLOSING, max(0, self._searched - len(CLOSING)))
        if at < 0:
            self._searched = len(self._buffer)
            return None
        end = at + len(CLOSING)
        whole, self._buffer, self._searched = self._buffer[:end], self._buffer[end:], 0
        return whole

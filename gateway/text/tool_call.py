"""A call of a tool, as the model writes it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

OPENING, CLOSING = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Which tool, and with what."""

    name: str
    arguments: str
    """A JSON object, in the model's own spelling."""


class _Written(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


def read_tool_call(text: str) -> ToolCall | None:
    """The call in `{"name": ..., "arguments": {...}}`, or None if it is not one."""
    try:
        written = msgspec.json.decode(text, type=_Written)
        arguments = bytes(written.arguments).decode().strip()
        if arguments.startswith('"'):  # some models quote the object once more
            arguments = msgspec.json.decode(arguments, type=str).strip()
            msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return ToolCall(written.name, arguments) if arguments.startswith("{") else None

"""The messages of a chat, checked and brought into the one form that templates get."""

from __future__ import annotations

import json

from gateway.door.content import MAX_CHARS, read_content
from gateway.door.fields import Fields, kind
from gateway.text.chat_template import JsonObject

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""What the client writes to what templates know."""
MAX_NAME_CHARS = 256
MAX_CALLS = 128


def read_messages(fields: Fields, max_messages: int) -> tuple[JsonObject, ...]:
    """At least one message. Raises InvalidRequest that names the place."""
    messages = fields.items("messages", max_messages)
    if not messages:
        raise fields.wrong("messages", "must be an array of at least one message")
    return tuple(_message(fields, place, message) for place, message in enumerate(messages))


def _message(fields: Fields, place: int, message: object) -> JsonObject:
    path = f"messages[{place}]"
    if not isinstance(message, dict):
        raise fields.wrong(path, f"must be an object, not {kind(message)}")
    inner = Fields(message, path)
    role = inner.text("role", 64)
    if role not in ROLES:
        raise inner.wrong("role", f"must be one of {', '.join(ROLES)}")
    built: dict[str, object] = {"role": ROLES[role], "content": read_content(inner)}
    calls = _calls(inner) if role == "assistant" else []
    if calls:
        built["tool_calls"] = calls
    if built["content"] is None:
        if role != "assistant":
            raise inner.wrong("content", "is missing")
        built["content"] = ""
    for name in ("name", "tool_call_id"):
        if (text := inner.text(name, MAX_NAME_CHARS)) is not None:
            built[name] = text
    return built


def _calls(message: Fields) -> list[JsonObject]:
    return [
        _call(message, place, call) for place, call in enumerate(message.items("tool_calls", MAX_CALLS) or [])
    ]


def _call(message: Fields, place: int, call: object) -> JsonObject:
    path = f"tool_calls[{place}]"
    if not isinstance(call, dict):
        raise message.wrong(path, f"must be an object, not {kind(call)}")
    fields = Fields(call, message.full(path))
    function = fields.inner("function")
    name = function.text("name", MAX_NAME_CHARS) if function else None
    if function is None or not name:
        raise fields.wrong("function.name", "is missing")
    arguments = function.text("arguments", MAX_CHARS) or "{}"
    called = {"name": name, "arguments": _object_or_text(arguments)}
    return {"id": fields.text("id", MAX_NAME_CHARS) or "", "type": "function", "function": called}


def _object_or_text(arguments: str) -> object:
    """Templates write objects in the form that models were trained on; what is no object stays text."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments

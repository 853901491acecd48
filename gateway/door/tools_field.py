"""The tools of a chat and whether the model may call them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.door.fields import Fields, kind
from gateway.text.chat_template import JsonObject
from protocol.errors import InvalidRequest, NotOffered

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the prompt declares; calls are looked for only if something is declared."""

    declared: tuple[JsonObject, ...] = ()
    max_calls: int = 0


def read_tools(fields: Fields, max_tools: int) -> Tools:
    """With `tool_choice` none the tools are left out. Raises NotOffered for a forced call."""
    tools = fields.items("tools", max_tools) or []
    declared = tuple(_tool(fields, place, tool) for place, tool in enumerate(tools))
    parallel = fields.flag("parallel_tool_calls", default=True)
    if _choice(fields) == "none" or not declared:
        return Tools()
    return Tools(declared, max_calls=max_tools if parallel else 1)


def _choice(fields: Fields) -> str:
    value = fields.value("tool_choice")
    if value is None or value in ("auto", "none"):
        return str(value or "auto")
    form = value.get("type") if isinstance(value, dict) else value
    if form in ("required", "function", "allowed_tools", "custom"):
        raise NotOffered(
            f"Baton does not offer tool_choice {form!r}: a call cannot be forced yet", param="tool_choice"
        )
    raise InvalidRequest("'tool_choice' must be none or auto", param="tool_choice")


def _tool(fields: Fields, place: int, tool: object) -> JsonObject:
    path = f"tools[{place}]"
    if not isinstance(tool, dict):
        raise fields.wrong(path, f"must be an object, not {kind(tool)}")
    inner = Fields(tool, path)
    form = inner.text("type", 64)
    if form != "function":
        raise NotOffered(f"Baton does not offer tools of type {form!r}", param=inner.full("type"))
    function = inner.inner("function")
    if function is None:
        raise inner.wrong("function", "is missing")
    name = function.text("name", 64)
    if name is None or not NAME.fullmatch(name):
        raise function.wrong("name", "must be 1 to 64 letters, digits, '_', '-' or '.'")
    function.text("description", 1 << 16)
    function.inner("parameters")
    return tool

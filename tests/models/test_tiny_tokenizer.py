"""The tokenizer that ships with baton-tiny."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from models.chat import BOS, EOS, PAD, ROLES, TEMPLATE, TOOL_MARKERS, render
from models.tokenizer import FOLDER

TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    """Every UTF-8 text survives encoding and decoding unchanged, special tokens kept."""
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("marker", [BOS, EOS, PAD, *ROLES, *TOOL_MARKERS])
def test_markers_are_single_tokens(marker: str) -> None:
    """Each marker of the chat format is one token and decodes to itself."""
    ids = TOKENIZER.encode(marker).ids
    assert len(ids) == 1
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == marker


def test_call_markers_stay_in_the_text() -> None:
    """A parser of tool calls sees the markers even when special tokens are skipped."""
    text = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
    assert TOKENIZER.decode(TOKENIZER.encode(text + EOS).ids, skip_special_tokens=True) == text


def test_a_name_has_the_same_tokens_everywhere() -> None:
    """A name is the same tokens after a space, at the start and between quotes: JSON needs a plain copy."""
    for name in ("Ada", "Zosel", "4921", "KX-482"):
        alone = TOKENIZER.encode(name).tokens
        for text in (f"of {name}", f'"{name}"', f"\n{name}"):
            assert TOKENIZER.encode(text).tokens[-len(alone) - (text[-1] == '"') :][: len(alone)] == alone


def test_no_token_is_added_by_encoding() -> None:
    """The chat template writes the begin token itself, so encoding must not add a second one."""
    assert TOKENIZER.encode(render([{"role": "user", "content": "Hi"}])).tokens.count(BOS) == 1


def test_the_shipped_template_is_the_source() -> None:
    """tokenizer_config.json carries the template that training used, and transformers renders it alike."""
    config = json.loads((FOLDER / "tokenizer_config.json").read_text())
    assert config["chat_template"] == TEMPLATE.read_text()
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    tool = {"name": "f", "parameters": {"properties": {"x": {"type": "string"}}}}
    tools: list[Any] = [{"type": "function", "function": tool}]
    shown = AutoTokenizer.from_pretrained(FOLDER).apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=True
    )
    assert shown == render(messages, tools, answer_next=True)

"""What a gateway reads of a model folder: tokenizer, chat template, end-of-text tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from gateway.text.chat_template import ChatTemplate
from gateway.text.text_tokenizer import TextTokenizer
from gateway.text.tool_call import CLOSING, OPENING
from protocol.errors import UnsupportedModel


@dataclass(frozen=True, slots=True)
class ModelText:
    """Everything about one model that concerns text."""

    tokenizer: TextTokenizer
    template: ChatTemplate | None
    """None: the model has no chat format."""
    stop_tokens: tuple[int, ...]
    """Ids that end an answer, ascending."""


def load_model_text(folder: Path, unix_time: Callable[[], float]) -> ModelText:
    """Reads tokenizer.json, tokenizer_config.json, config.json, generation_config.json and
    chat_template.jinja. Raises UnsupportedModel with the file that is missing or broken."""
    tokenizer = TextTokenizer(_read_tokenizer(folder), spoken=(OPENING, CLOSING))
    settings = _read_json(folder / "tokenizer_config.json")
    words = {
        name: text
        for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        if (text := _word(settings.get(name))) is not None
    }
    source = _template_source(folder, settings)
    return ModelText(
        tokenizer=tokenizer,
        template=None if source is None else ChatTemplate(source, words, unix_time),
        stop_tokens=_stop_tokens(folder, tokenizer, words.get("eos_token")),
    )


def _read_tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UnsupportedModel(f"{folder} has no tokenizer.json: only fast tokenizers are supported")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as wrong:  # the library raises bare Exception
        raise UnsupportedModel(f"{path} cannot be read: {wrong}") from wrong
    tokenizer.no_padding()
    tokenizer.no_truncation()  # a prompt that is too long is refused, never cut
    return tokenizer


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as wrong:
        raise UnsupportedModel(f"{path} is not JSON: {wrong}") from wrong
    if not isinstance(value, dict):
        raise UnsupportedModel(f"{path} is not a JSON object")
    return value


def _word(value: object) -> str | None:
    """A special token is written as text or as an object with `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _template_source(folder: Path, settings: dict[str, object]) -> str | None:
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    value = settings.get("chat_template")
    if isinstance(value, list):  # several named ones
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _stop_tokens(folder: Path, tokenizer: TextTokenizer, eos: str | None) -> tuple[int, ...]:
    found = [] if eos is None else [tokenizer.id_of(eos)]
    for name in ("config.json", "generation_config.json"):
        found += _ids(_read_json(folder / name).get("eos_token_id"))
    return tuple(sorted({number for number in found if number is not None}))


def _ids(value: object) -> Iterable[int]:
    values = value if isinstance(value, list) else [value]
    return [number for number in values if type(number) is int]

"""A model folder's text side is read whole or refused with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.text.model_text import ModelText, load_model_text
from gateway.text.text_tokenizer import TextTokenizer
from protocol.errors import UnsupportedModel
from tests.gateway.text.tiny_text import BATON_TINY, LATER, byte_fallback_tokenizer, tiny_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model's text files."""
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        shutil.copy(BATON_TINY / name, tmp_path / name)
    return tmp_path


def load(folder: Path) -> ModelText:
    """With a fixed date."""
    return load_model_text(folder, lambda: LATER)


def test_the_shipped_model_is_complete() -> None:
    """Tokenizer, template and the token that ends an answer."""
    text = tiny_text()
    assert text.template is not None
    assert [text.tokenizer.token_bytes(token) for token in text.stop_tokens] == [b"<|end|>"]


def test_every_file_can_name_ends_of_text(folder: Path) -> None:
    """Models list several in generation_config.json; the tokenizer's own is one of them."""
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert load(folder).stop_tokens == (2, 7, 9)


def test_a_template_of_its_own_file_wins(folder: Path) -> None:
    """Newer folders keep it beside the settings; older ones name several in a list."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    named = [{"name": "rag", "template": "{% if %}"}, {"name": "default", "template": "x"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": named}))
    assert load(folder).template is not None
    (folder / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(UnsupportedModel, match="does not compile"):
        load(folder)


def test_a_folder_without_a_chat_format_is_fine(folder: Path) -> None:
    """A base model has none."""
    (folder / "tokenizer_config.json").unlink()
    assert load(folder).template is None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tokenizer.json", None, "no tokenizer.json"),
        ("tokenizer.json", "{}", "cannot be read"),
        ("tokenizer_config.json", "[", "is not JSON"),
        ("config.json", "[]", "is not a JSON object"),
    ],
)
def test_a_broken_file_is_named(folder: Path, name: str, content: str | None, reason: str) -> None:
    """The operator reads which file is wrong, and how."""
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(UnsupportedModel, match=reason):
        load(folder)


def test_prompts_are_never_cut(folder: Path) -> None:
    """A tokenizer that was saved with truncation and padding does neither here."""
    data = json.loads((folder / "tokenizer.json").read_text())
    data["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(data))
    assert len(load(folder).tokenizer.encode("one two three four", add_special_tokens=False)) > 4


def test_tokenizers_of_other_kinds_tell_their_text() -> None:
    """Where bytes are not known, a token's bytes are those of its text."""
    tokenizer = TextTokenizer(byte_fallback_tokenizer())
    assert tokenizer.token_bytes(tokenizer.encode("b", add_special_tokens=False)[0]) == b"b"


def test_the_gateway_loads_no_torch() -> None:
    """Importing and using the door needs neither torch nor transformers nor ray."""
    program = (
        "import sys, pathlib, gateway.door.http_door, gateway.text.model_text as m\n"
        f"m.load_model_text(pathlib.Path({str(BATON_TINY)!r}), lambda: 0.0)\n"
        "heavy = [name for name in ('torch', 'transformers', 'ray', 'nixl') if name in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")

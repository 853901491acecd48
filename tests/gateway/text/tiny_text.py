"""The text side of the model that ships in the repository, and tokenizers of other kinds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from gateway.text.model_text import ModelText, load_model_text

BATON_TINY = Path(__file__).parents[3] / "models" / "baton-tiny"
LATER = 1_790_000_000.0
"""A date for templates that ask for one."""


@lru_cache(maxsize=1)
def tiny_text() -> ModelText:
    """Read once; it holds no state."""
    return load_model_text(BATON_TINY, lambda: LATER)


def raw_tokenizer() -> Tokenizer:
    """The library's own object for the same model."""
    return Tokenizer.from_file(str(BATON_TINY / "tokenizer.json"))


def byte_fallback_tokenizer() -> Tokenizer:
    """As Llama 2, Mistral and Gemma have it: words with a mark for the space, and bytes for the rest."""
    pieces = ["<unk>", "<s>", "▁", *(f"<0x{byte:02X}>" for byte in range(256)), *"abcdefgh", "▁a", "▁b"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("▁", "a"), ("▁", "b")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    return tokenizer

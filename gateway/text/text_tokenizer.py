"""The model's tokenizer, without transformers and therefore without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from gateway.text.byte_table import byte_table
from gateway.text.detokenizer import ByteDetokenizer, Detokenizer, WindowDetokenizer


class TextTokenizer:
    """Text to token ids and back. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, spoken: Sequence[str] = ()) -> None:
        """`spoken`: special tokens that stay in the text all the same, such as tool-call markers."""
        self._tokenizer = tokenizer
        self._table = byte_table(tokenizer)
        added = tokenizer.get_added_tokens_decoder()
        self._silent = frozenset(
            number for number, token in added.items() if token.special and token.content not in spoken
        )

    @property
    def size(self) -> int:
        """Number of token ids, added tokens included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        """Token ids. With `add_special_tokens` the tokenizer may put a begin-of-text in front."""
        # As a batch of one, because only batches leave the interpreter lock to other threads.
        return tuple(self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids)

    def id_of(self, token: str) -> int | None:
        """The id of one vocabulary entry."""
        return self._tokenizer.token_to_id(token)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens` without the special ones."""
        return self._decode([token for token in tokens if token not in self._silent])

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, special or not; those of its text where bytes are not known."""
        if self._table is None:
            return self._decode([token]).encode()
        return self._table[token] if token < len(self._table) else b""

    def detokenizer(self, prompt: Sequence[int]) -> Detokenizer:
        """A fresh detokenizer for what follows `prompt`."""
        if self._table is not None:
            return ByteDetokenizer(self._table, self._silent)
        return WindowDetokenizer(self._decode, self._silent, prompt)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=False)

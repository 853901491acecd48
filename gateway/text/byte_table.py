"""The exact bytes of every token, for tokenizers whose decoder is byte-level."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders


def byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in a byte-level vocabulary (as GPT-2 defined it)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + place): byte for place, byte in enumerate(others)})
    return alphabet


def token_bytes(token: str, alphabet: dict[str, int]) -> bytes:
    """The bytes that one vocabulary entry stands for."""
    values = [alphabet.get(character, -1) for character in token]
    return token.encode() if -1 in values else bytes(values)


def byte_table(tokenizer: Tokenizer) -> tuple[bytes, ...] | None:
    """Bytes by token id (holes are empty), or None if the decoder is of another kind."""
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        return None
    alphabet = byte_alphabet()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for token, number in vocabulary.items():
        table[number] = token_bytes(token, alphabet)
    for number, added in tokenizer.get_added_tokens_decoder().items():
        table[number] = added.content.encode()  # written as it is read, never in the alphabet
    return tuple(table)

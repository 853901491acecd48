"""Trains the byte-level BPE tokenizer on generated text: `python -m models.tokenizer`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import corpus, tool_corpus
from .chat import BOS, EOS, PAD, ROLES, TEMPLATE, TOOL_MARKERS
from .words import Words

FOLDER = Path(__file__).with_name("baton-tiny")
VOCABULARY = 2048
MAX_TOKENS = 8192
# A name, a digit or a sign is cut off from the space before it: it has the same tokens in prose, at the start
# of a line and between JSON quotes: copying never needs to translate. Only lower-case words keep their space.
PIECES = r" ?[a-z]+|[A-Z][a-z]*|\d|[^\S\r\n]+|[\r\n]+|[^\sA-Za-z\d]"


def training_text(seed: int, documents: int = 12_000) -> Iterator[str]:
    """The kinds of text that training uses, in the same mixture."""
    words = Words(Random(seed))
    for number in range(documents):
        make = tool_corpus.document if number % 3 == 0 else corpus.document
        yield "".join(span.text for span in make(words, tokens=150))


def build(seed: int = 1) -> Tokenizer:
    """A tokenizer whose every byte is a token, so any UTF-8 text comes back unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in (PAD, BOS, EOS, *ROLES)]
    # The call markers are not "special": they stay in the text that a client's parser reads.
    markers = [AddedToken(text, special=False, normalized=False) for text in TOOL_MARKERS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(markers),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_text(seed), trainer)
    tokenizer.add_tokens(markers)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and a tokenizer_config.json that carries the chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "model_max_length": MAX_TOKENS,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE.read_text(),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    save(build(), FOLDER)

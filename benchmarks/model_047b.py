"""Writes the model that the engine benchmarks run: Qwen3-shaped, random weights, 474 M parameters.

`python -m benchmarks.model_047b` prints its folder. It is written once, below `--cache` or the
user's cache folder, and takes about 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen3Config, Qwen3ForCausalLM

from gateway.text.byte_table import byte_alphabet

VOCABULARY = 32768
FIRST_WORD = 256
"""Ids below stand for single bytes; those from here on are words, which are text by themselves."""
LAYERS, HIDDEN, INTERMEDIATE = 28, 1024, 3072
HEADS, KV_HEADS, HEAD_SIZE = 16, 8, 128
MAX_CONTEXT = 4096
BYTES = 2
SEED = 47

PER_LAYER = HIDDEN * HEAD_SIZE * (2 * HEADS + 2 * KV_HEADS) + 3 * HIDDEN * INTERMEDIATE
WEIGHT_BYTES = BYTES * (LAYERS * PER_LAYER + VOCABULARY * HIDDEN)
"""Read once by each step: the tied embedding counts once, as the output matrix."""
KV_BYTES_PER_TOKEN = BYTES * 2 * LAYERS * KV_HEADS * HEAD_SIZE


def decode_bytes(batch: int, context: float) -> float:
    """Bytes that one decode step has to read."""
    return WEIGHT_BYTES + batch * context * KV_BYTES_PER_TOKEN


def prefill_flops(tokens: int) -> float:
    """Floating-point operations of one prompt: matmuls, causal attention, one row of logits."""
    attention = 2 * tokens * (tokens + 1) * HEADS * HEAD_SIZE * LAYERS
    return 2 * tokens * LAYERS * PER_LAYER + attention + 2 * VOCABULARY * HIDDEN


def model_folder(cache: Path | None) -> Path:
    """The folder of the model, written now if it is not there yet."""
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"
    folder = root / "random-qwen3-047b"
    if not (folder / "complete").exists():
        write_model(folder)
    return folder


def write_model(folder: Path) -> None:
    """Writes weights, configuration and tokenizer; the mark of completeness comes last."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        max_position_embeddings=MAX_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        dtype=torch.bfloat16,
    )
    model = Qwen3ForCausalLM(config)
    model.bfloat16()
    model.save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "complete").touch()


def write_tokenizer(folder: Path) -> None:
    """Every id from FIRST_WORD on is one ASCII word, so that each token is a piece of text at once."""
    vocabulary = {character: byte for character, byte in byte_alphabet().items()}
    space = next(character for character, byte in vocabulary.items() if byte == ord(" "))
    vocabulary.update({f"{space}w{number}": number for number in range(FIRST_WORD, VOCABULARY)})
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_CONTEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def main() -> None:
    """Prints the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path)
    print(model_folder(parser.parse_args().cache))


if __name__ == "__main__":
    main()

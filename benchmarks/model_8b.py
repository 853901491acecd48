"""Writes the model that the device benchmark runs: Llama-shaped, random weights, 8 B parameters.

It is written once, below `--cache` or the user's cache folder, and takes about 16 GB.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 128256
LAYERS, HIDDEN, INTERMEDIATE = 32, 4096, 14336
HEADS, KV_HEADS, HEAD_SIZE = 32, 8, 128
MAX_CONTEXT = 8192 + 1024
BYTES = 2
SEED = 8

PER_LAYER = HIDDEN * HEAD_SIZE * (2 * HEADS + 2 * KV_HEADS) + 3 * HIDDEN * INTERMEDIATE


def step_bytes(layers: int, batch: int, context: float) -> float:
    """Bytes that one decode step has to read: weights and the output matrix once, and all KV."""
    weights = layers * PER_LAYER + VOCABULARY * HIDDEN
    return BYTES * (weights + 2 * layers * KV_HEADS * HEAD_SIZE * batch * context)


def model_folder(cache: Path | None, layers: int) -> Path:
    """The folder of the model, written now if it is not there yet."""
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"
    folder = root / f"random-llama-8b-{layers}-layers"
    if not (folder / "complete").exists():
        _write(folder, layers)
    return folder


def _write(folder: Path, layers: int) -> None:
    """Drawn on the device, which takes seconds where the CPU takes minutes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        max_position_embeddings=MAX_CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        dtype=torch.bfloat16,
    )
    torch.manual_seed(SEED)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            network = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    network.save_pretrained(folder)
    del network
    torch.cuda.empty_cache()
    (folder / "complete").touch()

"""Tiny models with random weights, written as real model folders, and transformers' own answers.

The weights are larger than a fresh model's, so that every part of a layer shows in the logits, and
embeddings are not tied, so that greedy decoding does not just repeat its input.
"""

from __future__ import annotations

import json
import random
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

VOCABULARY = 512
CONTEXT = 2048
PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
FIRST_ORDINARY = len(SPECIAL)
MARGIN_FLOOR = 1e-3
"""Below this a top-2 margin is a near-tie: another batch shape may flip it by rounding."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message.role + '|>' + (message.content or '') + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
TOKENIZER_TEXT = (
    "The runner hands the baton to the next runner, and the next runner must never drop it.",
    "What is the code of the blue room? The code of the blue room is seven four one.",
    "A cache keeps what was computed once, so that nobody computes it twice.",
)

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "tie_word_embeddings": False,
}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "qwen3": ("qwen3", {}),
    "gemma2": ("gemma2", {"sliding_window": 24, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 5.0}),
    "gemma3": (
        "gemma3_text",
        {
            "num_hidden_layers": 4,
            "layer_types": _SLIDING,
            "sliding_window": 24,
            "query_pre_attn_scalar": 16,
        },
    ),
    "gpt_oss": (
        "gpt_oss",
        {
            **_EXPERTS,
            "num_hidden_layers": 4,
            "layer_types": _SLIDING,
            "sliding_window": 24,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "mixtral": ("mixtral", {**_EXPERTS, "sliding_window": None}),
    "deepseek_v3": (
        "deepseek_v3",
        {
            "num_key_value_heads": 4,
            "head_dim": 8,
            "q_lora_rank": 24,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 16,
            "v_head_dim": 12,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "n_group": 2,
            "topk_group": 1,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
        },
    ),
}
"""Kind: (transformers model type, what its config says beyond the common sizes)."""


def write_tiny_model(kind: str, folder: Path) -> Path:
    """Writes config, fp32 safetensors, tokenizer and chat template of one of KINDS. Equal every time."""
    model_type, special = KINDS[kind]
    return write_model(AutoConfig.for_model(model_type, **{**_COMMON, **special}), folder)


def write_model(config: Any, folder: Path) -> Path:
    """Writes a model of any config, with weights drawn from a seed that its type fixes."""
    transformers_logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    _draw_weights(network, zlib.crc32(config.model_type.encode()))
    network.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer of at most VOCABULARY tokens; every text comes back unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TOKENIZER_TEXT, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def greedy_reference(folder: Path, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    """(tokens, margins): what transformers' own greedy generate says in fp32, end of sequence
    ignored, and how far the best logit was above the second at each token."""
    with torch.inference_mode():
        out = reference_network(folder).generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    best = torch.cat(out.logits).float().topk(2).values
    return out.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).tolist()


def clear_prompt(folder: Path, length: int, count: int, start: int = 0) -> tuple[list[int], list[int]]:
    """(prompt, greedy answer): the first random prompt of `length` tokens, searching from seed `start`,
    whose answer has every margin above MARGIN_FLOOR."""
    for seed in range(start, start + 100):
        prompt = random_prompt(length, seed)
        tokens, margins = greedy_reference(folder, prompt, count)
        if min(margins) > MARGIN_FLOOR:
            return prompt, tokens
    raise AssertionError(f"no prompt of {length} tokens has every margin above {MARGIN_FLOOR}")


def random_prompt(length: int, seed: int) -> list[int]:
    """Ordinary tokens, equal for equal seeds."""
    source = random.Random(seed)
    return [source.randrange(FIRST_ORDINARY, VOCABULARY) for _ in range(length)]


@lru_cache(maxsize=8)
def reference_network(folder: Path) -> Any:
    """transformers' own model, fp32, with its default attention and no end of sequence. With a
    softcap it is eager attention: before 5.23 the default was SDPA, which silently drops the softcap."""
    transformers_logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    chosen = {"attn_implementation": "eager"} if getattr(config, "attn_logit_softcapping", None) else {}
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **chosen
    )
    network.generation_config.eos_token_id = None
    return network.eval()


def _draw_weights(network: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(network.named_parameters()):
            noise = torch.empty_like(parameter).normal_(std=0.15, generator=generator)
            parameter.copy_(noise if parameter.dim() > 1 else parameter + noise)

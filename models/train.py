"""Trains baton-tiny: `python -m models.train` (resumes from `--work` if it was stopped)."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from . import corpus, tool_corpus
from .chat import BOS, EOS, PAD, Span
from .tokenizer import FOLDER, MAX_TOKENS
from .words import Words

TOOL_SHARE = 0.3
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training on texts of at most `length` tokens, `batch` at a time."""

    steps: int
    length: int
    batch: int


STAGES = (
    Stage(700, 128, 64),
    Stage(700, 256, 32),
    Stage(1000, 512, 16),
    Stage(500, 1024, 8),
    Stage(300, 2048, 4),
)
PEAK_RATE = 2e-3
WARM_UP = 100
SAVE_EVERY = 100


def configuration(tokenizer: Tokenizer) -> LlamaConfig:
    """3.5 M parameters; grouped-query attention with 4 query and 2 key-value heads of 64."""
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=MAX_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def encode(tokenizer: Tokenizer, cut: list[Span], length: int) -> tuple[list[int], list[int]]:
    """Token ids and, for each, the id to predict after it (`IGNORED` where nothing is learnt)."""
    ids: list[int] = []
    learnt: list[int] = []
    for span in cut:
        piece = tokenizer.encode(span.text, add_special_tokens=False).ids
        ids += piece
        learnt += piece if span.learn else [IGNORED] * len(piece)
    return ids[:length], (learnt[1:] + [IGNORED])[:length]


def texts(tokenizer: Tokenizer, stage: Stage, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches (inputs, targets), each [batch, up to stage.length] of int64, one per step, from `seed` alone."""
    words = Words(Random(seed))
    pad = tokenizer.token_to_id(PAD)
    for _ in range(stage.steps):
        tokens = round(stage.length * words.rng.choice((0.6, 0.8, 0.95)))
        rows = []
        while len(rows) < stage.batch:
            make = tool_corpus.document if words.rng.random() < TOOL_SHARE else corpus.document
            ids, learnt = encode(tokenizer, make(words, tokens), stage.length)
            if any(target != IGNORED for target in learnt):
                rows.append((ids, learnt))
        width = max(len(ids) for ids, _ in rows)
        yield (
            torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows]),
            torch.tensor([learnt + [IGNORED] * (width - len(learnt)) for _, learnt in rows]),
        )


def loss_of(model: LlamaForCausalLM, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the answer tokens; logits are computed for those alone."""
    positions = torch.arange(inputs.shape[1])[None]
    hidden = model.model(input_ids=inputs, position_ids=positions, use_cache=False).last_hidden_state
    wanted = targets != IGNORED
    return cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])


def rate(step: int, total: int) -> float:
    """Learning rate as a share of the peak: linear warm-up, then a cosine down to nothing."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (total - WARM_UP)))


def optimizer_for(model: LlamaForCausalLM) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))


def train(tokenizer: Tokenizer, work: Path, threads: int) -> LlamaForCausalLM:
    """Runs what is left of the stages; progress goes to stdout and to `work`/checkpoint.pt every 100 steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = LlamaForCausalLM(configuration(tokenizer))
    model.config._attn_implementation = "sdpa"
    optimizer = optimizer_for(model)
    checkpoint = work / "checkpoint.pt"
    done, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done, spent = state["done"], state["spent"]
    total = sum(stage.steps for stage in STAGES)
    step = 0
    began = time.perf_counter() - spent
    for number, stage in enumerate(STAGES):
        if done >= step + stage.steps:
            step += stage.steps
            continue
        for inputs, targets in texts(tokenizer, stage, seed=100 + number):
            step += 1
            if step <= done:
                continue
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * rate(step, total)
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, inputs, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % 20 == 0:
                print(f"step {step}/{total} length {stage.length} loss {loss.item():.4f} {time.perf_counter() - began:.0f}s", flush=True)
            if step % SAVE_EVERY == 0 or step == total:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": step, "spent": time.perf_counter() - began}
                torch.save(state, checkpoint)
    return model


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes config.json, generation_config.json and the weights in bf16."""
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id, eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(folder)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, default=Path("build/baton-tiny"), help="where the checkpoint is kept")
    options.add_argument("--out", type=Path, default=FOLDER)
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    save(train(tokenizer, chosen.work, chosen.threads), chosen.out)


if __name__ == "__main__":
    main()

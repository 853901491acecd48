"""Trains baton-tiny: `python -m models.train` (goes on from `--work` if it was stopped)."""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from .chat import BOS, EOS, PAD
from .stages import IGNORED, STEPS, Batch, batches
from .tokenizer import FOLDER, MAX_TOKENS

WARM_UP = 50
REPORT_EVERY = 20
SAVE_EVERY = 50


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
        initializer_range=0.06,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the answer tokens; logits are computed for those alone."""
    positions = torch.arange(batch.inputs.shape[1])[None]
    hidden = model.model(input_ids=batch.inputs, position_ids=positions, use_cache=False).last_hidden_state
    wanted = batch.targets != IGNORED
    return cross_entropy(model.lm_head(hidden[wanted]), batch.targets[wanted])


def optimizers_for(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices (fewer steps than AdamW in one short trial), AdamW for the rest."""
    inner = [p for p in model.model.layers.parameters() if p.dim() == 2]
    outer = [model.model.embed_tokens.weight, *(p for p in model.parameters() if p.dim() == 1)]
    return [
        torch.optim.Muon(inner, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class Training:
    """A model half trained, its optimizers, and how far it is; kept in one file."""

    def __init__(self, tokenizer: Tokenizer, checkpoint: Path) -> None:
        torch.manual_seed(1)
        self.model = LlamaForCausalLM(configuration(tokenizer))
        self._tokenizer = tokenizer
        self._optimizers = optimizers_for(self.model)
        self._checkpoint = checkpoint
        self._done, self._seconds = 0, 0.0
        if checkpoint.exists():
            self._load()

    def run(self) -> None:
        """Takes all the steps that are left; progress goes to stdout and to the checkpoint."""
        for batch in islice(batches(self._tokenizer), self._done, None):
            began = time.perf_counter()
            loss = self._step(batch)
            self._seconds += time.perf_counter() - began
            if self._done % REPORT_EVERY == 0:
                where = f"step {self._done}/{STEPS} length {batch.length}"
                print(f"{where} loss {loss:.4f} {self._seconds:.0f} s", flush=True)
            if self._done % SAVE_EVERY == 0 or self._done == STEPS:
                self._save()

    def _step(self, batch: Batch) -> float:
        self._done += 1
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = batch.rate * min(1.0, self._done / WARM_UP)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(self.model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "done": self._done,
            "spent": self._seconds,
        }
        fresh = self._checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint)
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self._done, self._seconds = state["done"], state["spent"]


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes config.json, generation_config.json and the weights in bf16."""
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    model.bfloat16().save_pretrained(folder)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--work", type=Path, default=Path("build/baton-tiny"), help="where the checkpoint is"
    )
    options.add_argument("--out", type=Path, default=FOLDER)
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(chosen.threads)
    training = Training(Tokenizer.from_file(str(FOLDER / "tokenizer.json")), chosen.work / "checkpoint.pt")
    training.run()
    save(training.model, chosen.out)


if __name__ == "__main__":
    main()

"""How far a model's answers are from those of its fp32 self."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM

from benchmarks.report import Row

Text = Sequence[int]


class Speaker(Protocol):
    """What is compared."""

    def logits(self, tokens: Text, last: int) -> torch.Tensor:
        """[last, vocabulary] after the last tokens of a text."""
        ...


@torch.inference_mode()
def exact_logits(folder: Path, texts: Sequence[Text]) -> list[torch.Tensor]:
    """transformers in fp32: [T, vocabulary] of each text."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return [model(input_ids=torch.tensor([list(text)]), use_cache=False).logits[0] for text in texts]


def accuracy_rows(
    work: str, system: str, model: Speaker, texts: Sequence[Text], exact: Sequence[torch.Tensor]
) -> list[Row]:
    """Means over all positions, each with the true text before it."""
    errors, equal, divergences = [], [], []
    for text, expected in zip(texts, exact, strict=True):
        ours = model.logits(text, len(text)).float()
        errors.append(torch.linalg.vector_norm(ours - expected, dim=-1) / expected.norm(dim=-1))
        equal.append((ours.argmax(-1) == expected.argmax(-1)).float())
        theirs = log_softmax(expected, -1)
        divergences.append((theirs.exp() * (theirs - log_softmax(ours, -1))).sum(-1))
    return [
        Row(work, system, "relative error of logits", torch.cat(errors).mean().item(), "share"),
        Row(work, system, "same greedy token as fp32", torch.cat(equal).mean().item(), "share"),
        Row(work, system, "KL of fp32 from it", torch.cat(divergences).mean().item(), "nats"),
    ]

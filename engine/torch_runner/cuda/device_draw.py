"""Tokens that are drawn on the device, and how the next step gets them."""

from __future__ import annotations

import torch

from engine.step import Draw
from engine.torch_runner.sampler import GREEDY_BELOW, adjusts

UNUSABLE = -1
"""The token of a row without a finite maximum."""


def drawn_on_device(draw: Draw) -> bool:
    """Whether it needs nothing but the logits as they are. Others are drawn by the host's sampler."""
    return draw.sampling.logprobs is None and not adjusts(draw.sampling)


def is_greedy(draw: Draw) -> bool:
    """Whether it takes the likeliest token."""
    return draw.sampling.temperature < GREEDY_BELOW


def best_tokens(logits: torch.Tensor) -> torch.Tensor:
    """[R] the likeliest token of each row of [R, vocabulary], the first of equals, or UNUSABLE."""
    best, tokens = logits.max(-1)
    return torch.where(best.isfinite(), tokens, UNUSABLE)


def put_carried(ids: torch.Tensor, carry: torch.Tensor, drawn: torch.Tensor) -> None:
    """ids [N] becomes drawn[carry] where carry [N] is not negative. Nothing waits for the device.

    After an unusable row any token serves: nobody wants what follows it."""
    carried = drawn[carry.clamp_min(0)].clamp_min(0)
    ids.copy_(torch.where(carry >= 0, carried, ids))

"""The one attention function registered with transformers. It finds its context on the module.

The name is absent from transformers' mask functions, so no mask is ever built; whatever a model
wants to say by other means (a bias, a cache, a mask of its own) raises instead of being lost.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

from engine.torch_runner.attention_call import AttentionCall, LayerHook
from protocol.errors import UnsupportedModel

HOOK_NAME = "baton_paged"
HOOK_ATTRIBUTE = "baton_hook"
HARMLESS = frozenset({"position_ids"})
"""Arguments without a say in who attends to whom. So is any that is None or False."""


def register_hook() -> None:
    """Makes HOOK_NAME known to transformers. Doing it twice is harmless."""
    AttentionInterface.register(HOOK_NAME, paged_attention)


def hang_hook(model: torch.nn.Module, hook: LayerHook) -> None:
    """Puts `hook` on every module that may call attention."""
    for module in model.modules():
        if isinstance(getattr(module, "layer_idx", None), int):
            setattr(module, HOOK_ATTRIBUTE, hook)


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    is_causal: bool | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, Hq, N, Dk], key and value [1, Hkv, N, D]; returns [1, N, Hq, Dv].

    Raises UnsupportedModel for anything that paged attention would not honour."""
    unknown = sorted(
        name for name, thing in rest.items() if not (thing is None or thing is False or name in HARMLESS)
    )
    if attention_mask is not None:
        unknown.append("attention_mask")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if not causal or dropout or query.shape[0] != 1:
        unknown.append("attention that is not causal, or not packed")
    hook = getattr(module, HOOK_ATTRIBUTE, None)
    if unknown or hook is None:
        what = ", ".join(unknown) or "a layer without a number"
        raise UnsupportedModel(f"{type(module).__name__} asks for attention that Baton does not know: {what}")
    call = AttentionCall(
        layer=int(module.layer_idx),  # type: ignore[arg-type]
        query=query[0],
        key=key[0],
        value=value[0],
        scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        window=sliding_window,
        softcap=softcap,
        sinks=s_aux,
    )
    return hook(call)[None], None

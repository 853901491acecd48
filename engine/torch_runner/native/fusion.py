"""Puts native kernels in the place of a loaded model's modules, and takes them away again.

Only `forward` of single instances is replaced. A norm or an MLP is replaced only where the kernel gives
what the module itself gives on random rows; the start-up self-test then judges the whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.native.fused_layer import KNOWN_LAYERS, FusedLayer
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.native_decoder import NativeDecoder, can_decode
from engine.torch_runner.native.operators import NativeNorm
from engine.torch_runner.native.packed_projections import PackedProjections
from engine.torch_runner.native.projections import NativeProjections, Projections

Forward = Callable[..., torch.Tensor]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02}
TRIED_ROWS = 3


class FusedModules:
    """The modules whose forward was replaced."""

    def __init__(self, restore: Callable[[], None] | None = None) -> None:
        """`restore` gives modules back what they lost."""
        self._restore = restore
        self._modules: list[nn.Module] = []

    def __len__(self) -> int:
        return len(self._modules)

    def put(self, module: nn.Module, forward: Callable[..., object]) -> None:
        """From now on `module` computes `forward`."""
        module.__dict__["forward"] = forward
        self._modules.append(module)

    def undo(self) -> None:
        """Every module computes as its class does again."""
        for module in self._modules:
            del module.__dict__["forward"]
        self._modules.clear()
        if self._restore is not None:
            self._restore()


def fuse(model: LoadedModel, library: NativeLibrary, projections: Projections | None = None) -> FusedModules:
    """Replaces what the kernels can do: layers of a known family, norms, gated MLPs, linears; these with
    bf16 weights unless `projections` says otherwise."""
    fused = FusedModules()
    if projections is None and library.packs:
        projections = packed = PackedProjections(library)
        fused = FusedModules(packed.restore)
    elif projections is None and library.linear_rows:
        projections = NativeProjections(library)
    inside: set[nn.Module] = set()
    for module in model.network.modules():
        if module in inside:
            continue
        forward = _replacement(module, model, library, projections)
        if forward is not None:
            inside.update(module.modules())
            fused.put(module, forward)
    if projections is not None and can_decode(model.network, library):
        layers = tuple(layer.__dict__["forward"] for layer in model.network.model.layers)
        fused.put(model.network, NativeDecoder(model.network, layers, library, projections))
    return fused


def _replacement(
    module: Any, model: LoadedModel, library: NativeLibrary, projections: Projections | None
) -> Forward | None:
    if _is_norm(module):
        norm = NativeNorm(library, module.weight, _epsilon(module))
        return norm if _agrees(module, norm, module.weight.numel()) else None
    if projections is None:
        return None
    if type(module).__name__ in KNOWN_LAYERS and all(_is_plain(one) for one in _linears(module)):
        if _is_gated(module.mlp) and _is_silu(module.mlp.act_fn):
            return FusedLayer(module, library, projections, model.facts.windows[module.self_attn.layer_idx])
    elif _is_gated(module) and _is_silu(module.act_fn):
        if _agrees(module, _gated_formula(module), module.gate_proj.in_features):
            return _gated(module, projections)
    elif _is_plain(module):
        return projections.linear(module)
    return None


def _gated(module: Any, projections: Projections) -> Forward:
    gate = projections.gate(module.gate_proj, module.up_proj)
    down = projections.linear(module.down_proj)
    return lambda x: down(gate(x))


def _gated_formula(module: Any) -> Forward:
    return lambda x: module.down_proj(nn.functional.silu(module.gate_proj(x)) * module.up_proj(x))


def _linears(module: nn.Module) -> Iterator[nn.Module]:
    return (inner for inner in module.modules() if isinstance(inner, nn.Linear))


def _is_plain(module: Any) -> bool:
    return (
        type(module) is nn.Linear and module.weight.dtype is torch.bfloat16 and module.weight.is_contiguous()
    )


def _is_gated(module: Any) -> bool:
    names = ("gate_proj", "up_proj", "down_proj", "act_fn")
    if not all(hasattr(module, name) for name in names):
        return False
    gate, up = module.gate_proj, module.up_proj
    return (
        all(_is_plain(part) for part in (gate, up, module.down_proj))
        and gate.weight.shape == up.weight.shape
        and gate.bias is None
        and up.bias is None
    )


def _is_silu(act: Any) -> bool:
    tried = torch.linspace(-4.0, 4.0, 9)
    return callable(act) and torch.allclose(act(tried), nn.functional.silu(tried), atol=1e-6)


def _is_norm(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return (
        type(module).__name__.endswith("RMSNorm")
        and isinstance(weight, torch.Tensor)
        and weight.dim() == 1
        and weight.dtype in TOLERANCE
        and _epsilon(module) is not None
        and len(inspect.signature(module.forward).parameters) == 1
    )


def _epsilon(module: Any) -> Any:
    return getattr(module, "variance_epsilon", getattr(module, "eps", None))


def _agrees(module: Any, ours: Forward, width: int) -> bool:
    """Whether both give the same for random rows."""
    dtype = next(module.parameters()).dtype
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, TRIED_ROWS, width, generator=generator).to(dtype)
    with torch.inference_mode():
        expected, got = module(rows).float(), ours(rows).float()
    error = torch.linalg.vector_norm(got - expected)
    return bool(error <= TOLERANCE[dtype] * torch.linalg.vector_norm(expected))

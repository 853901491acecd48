"""What a spec may one day ask for, and is refused by name today."""

from __future__ import annotations

_PARALLEL = "Baton runs each worker on one device; start more workers instead (pools.decode.replicas)"
_ONE_MODEL = "one cluster serves one model; start a second cluster on another port"

REFUSED = {
    "tensor_parallel": _PARALLEL,
    "tensor_parallel_size": _PARALLEL,
    "pipeline_parallel": _PARALLEL,
    "pipeline_parallel_size": _PARALLEL,
    "lora": "Baton serves no LoRA adapters; merge the adapter into the model folder",
    "lora_adapters": "Baton serves no LoRA adapters; merge the adapter into the model folder",
    "quantization": "Baton loads no quantised checkpoints; weights: int8 quantises one when it loads",
    "speculative": "Baton does not decode speculatively",
    "speculative_decoding": "Baton does not decode speculatively",
    "draft_model": "Baton does not decode speculatively",
    "models": _ONE_MODEL,
    "multimodal": "Baton takes text only",
}
"""Key, at any depth, and why it is refused with the way out."""

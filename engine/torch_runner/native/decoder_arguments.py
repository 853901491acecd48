"""What decoder.cpp is told, as C structs: the model once, each step anew."""

from __future__ import annotations

from ctypes import Structure, c_float, c_int64, c_void_p


class LayerArguments(Structure):
    """What baton::Layer is."""

    _fields_ = [
        *((name, c_void_p) for name in ("norm", "qkv", "qkv_bias", "query_norm", "key_norm", "out")),
        *((name, c_void_p) for name in ("out_bias", "second_norm", "gate", "up", "down", "keys", "values")),
        ("window", c_int64),
    ]


class DecoderArguments(Structure):
    """What baton::Decoder is; `block_step` in items."""

    _fields_ = [
        *((name, c_void_p) for name in ("layers", "norm", "head")),
        *((name, c_int64) for name in ("num_layers", "hidden", "heads", "kv_heads", "dim", "inner")),
        *((name, c_int64) for name in ("vocabulary", "block_size", "block_step", "threads")),
        ("int8_kv", c_int64),
        *((name, c_float) for name in ("eps", "head_eps", "scale")),
    ]


class StepArguments(Structure):
    """What baton::DecoderStep is."""

    _fields_ = [
        *((name, c_void_p) for name in ("x", "normed", "qkv", "attended", "gated", "logits", "cosine")),
        *((name, c_void_p) for name in ("sine", "blocks", "offsets", "pieces", "tables", "wanted")),
        *((name, c_int64) for name in ("rows", "num_pieces", "num_wanted")),
        ("memory", c_void_p),
    ]

"""Puts K and V of a step's tokens into their slots, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize_on_alignment=["blocks", "offsets"])
def store_kernel(
    key,  # [Hkv, N, K_DIM], any strides but the last
    value,  # [Hkv, N, V_DIM], likewise
    keys,  # a layer's K in block 0; a block's [Hkv, BLOCK_SIZE, K_DIM] is contiguous
    values,  # likewise with V_DIM
    blocks,  # [N] block of each token; -1 stores nothing
    offsets,  # [N] place of each token in its block
    key_head_step,
    key_token_step,
    value_head_step,
    value_token_step,
    block_step,
    BLOCK_SIZE: tl.constexpr,
    K_DIM: tl.constexpr,
    V_DIM: tl.constexpr,
    TILE_K: tl.constexpr,
    TILE_V: tl.constexpr,
):
    """Grid: (N, Hkv)."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    block = tl.load(blocks + token).to(tl.int64)
    slot = head * BLOCK_SIZE + tl.load(offsets + token)
    k_at = tl.arange(0, TILE_K)
    k_in = (k_at < K_DIM) & (block >= 0)
    k = tl.load(key + head * key_head_step + token * key_token_step + k_at, mask=k_in, other=0.0)
    tl.store(keys + block * block_step + slot * K_DIM + k_at, k.to(keys.dtype.element_ty), mask=k_in)
    v_at = tl.arange(0, TILE_V)
    v_in = (v_at < V_DIM) & (block >= 0)
    v = tl.load(value + head * value_head_step + token * value_token_step + v_at, mask=v_in, other=0.0)
    tl.store(values + block * block_step + slot * V_DIM + v_at, v.to(values.dtype.element_ty), mask=v_in)

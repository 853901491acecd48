"""Attention of a few queries over a paged cache, in Triton: one kernel for single tokens and for chunks.

Online softmax (Milakov, Gimelshein 2018; Dao et al., FlashAttention, 2022). The query heads that share
a KV head are rows of one tile. A long context may be cut into SPLITS parts that are joined afterwards
(Dao et al., Flash-Decoding, 2023).
"""

from __future__ import annotations

import triton
import triton.language as tl


# Pointers: query [Hq, N, K_DIM], any strides but the last; keys and values of a layer in block 0, where a
# block's [Hkv, BLOCK_SIZE, dim] is contiguous; sinks fp32 [Hq]; rows, counts, starts and begins [S], see
# SliceTables. With SPLITS == 1, out is [N, Hq, V_DIM]; else it is fp32 [SPLITS, S, Hq, V_DIM], each part
# normalised, and logs is fp32 [SPLITS, S, Hq], each part's log of the sum of exp.
# fmt: off
@triton.jit(do_not_specialize_on_alignment=["rows", "counts", "starts", "begins", "blocks"])
def attend_kernel(
    query, keys, values, sinks, out, logs, rows, counts, starts, begins, blocks,
    query_head_step, query_token_step, block_step, scale, softcap, window,
    GROUP: tl.constexpr, BLOCK_SIZE: tl.constexpr, K_DIM: tl.constexpr, V_DIM: tl.constexpr,
    TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr, TILE_V: tl.constexpr,
    SPLITS: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr, HAS_SINKS: tl.constexpr,
):
    # fmt: on
    """Grid: (S, tiles of TILE_M // GROUP tokens in the longest slice, Hkv * SPLITS).

    Positions from a slice's end on are never loaded. A slice without any (start -1, count 1) gives zeros.
    """
    at, tokens = tl.program_id(0), TILE_M // GROUP
    head, split = tl.program_id(2) // SPLITS, tl.program_id(2) % SPLITS
    heads = tl.num_programs(2) // SPLITS * GROUP
    first = tl.program_id(1) * tokens
    count = tl.load(counts + at).to(tl.int32)
    if first >= count:
        return
    row = tl.load(rows + at).to(tl.int32) + first
    start = tl.load(starts + at).to(tl.int32) + first  # of this tile
    table = blocks + tl.load(begins + at)

    member = tl.arange(0, TILE_M)
    token, q_head = member // GROUP, head * GROUP + member % GROUP
    valid = (token < tokens) & (first + token < count)
    k_at, v_at = tl.arange(0, TILE_K), tl.arange(0, TILE_V)
    k_in, v_in = k_at < K_DIM, v_at < V_DIM
    q_line = q_head * query_head_step + (row + token) * query_token_step
    q = tl.load(query + q_line[:, None] + k_at[None, :], valid[:, None] & k_in[None, :], other=0.0)
    end = start + tl.minimum(tokens, count - first)
    oldest, low, high = _span(start, end, window, split, TILE_N, SPLITS, HAS_WINDOW)

    top = tl.full([TILE_M], float("-inf"), tl.float32)
    total, sums = tl.zeros([TILE_M], tl.float32), tl.zeros([TILE_M, TILE_V], tl.float32)
    for begin in range(low, high, TILE_N):
        place = begin + tl.arange(0, TILE_N)
        here = (place >= oldest) & (place < high)
        block = tl.load(table + place // BLOCK_SIZE, mask=here, other=0).to(tl.int64) * block_step
        slot = head * BLOCK_SIZE + place % BLOCK_SIZE
        k_line, v_line = block + slot * K_DIM, block + slot * V_DIM
        k = tl.load(keys + k_line[None, :] + k_at[:, None], here[None, :] & k_in[:, None], other=0.0)
        v = tl.load(values + v_line[:, None] + v_at[None, :], here[:, None] & v_in[None, :], other=0.0)
        scores = tl.dot(q, k, input_precision="ieee") * scale
        if HAS_SOFTCAP:
            scores = softcap * _tanh(scores / softcap)
        scores = _hidden(scores, place, here, start + token, window, HAS_WINDOW)
        top, total, sums = _taken_in(scores, v, top, total, sums)

    if HAS_SINKS and SPLITS == 1:
        total, sums = _with_sinks(tl.load(sinks + q_head, mask=valid, other=0.0), top, total, sums)
    safe = tl.where(total == 0.0, 1.0, total)
    line = (row + token) * heads + q_head
    if SPLITS > 1:
        line = (split * tl.num_programs(0) + at) * heads + q_head
        tl.store(logs + line, top + tl.log(safe), mask=valid)
    result = (sums / safe[:, None]).to(out.dtype.element_ty)
    tl.store(out + line[:, None] * V_DIM + v_at[None, :], result, valid[:, None] & v_in[None, :])


@triton.jit
def _span(start, end, window, split, TILE_N: tl.constexpr, SPLITS: tl.constexpr, HAS_WINDOW: tl.constexpr):
    """The oldest position that a tile sees, and the aligned range of positions of this part of it."""
    oldest = end * 0
    if HAS_WINDOW:
        oldest = tl.maximum(start + 1 - window, 0)
    low = oldest // TILE_N * TILE_N
    high = end
    if SPLITS > 1:
        part = tl.cdiv(tl.cdiv(end - low, SPLITS), TILE_N) * TILE_N
        low += split * part
        high = tl.minimum(end, low + part)
    return oldest, low, high


@triton.jit
def _hidden(scores, place, here, position, window, HAS_WINDOW: tl.constexpr):
    """Minus infinity where a query must not look."""
    seen = here[None, :] & (place[None, :] <= position[:, None])
    if HAS_WINDOW:
        seen = seen & (place[None, :] > position[:, None] - window)
    return tl.where(seen, scores, float("-inf"))


@triton.jit
def _taken_in(scores, v, top, total, sums):
    """The running maximum, sum of exp, and weighted sum of values, with one more tile of them."""
    higher = tl.maximum(top, tl.max(scores, 1))
    finite = tl.where(higher == float("-inf"), 0.0, higher)
    weights = tl.exp(scores - finite[:, None])
    shrink = tl.exp(top - finite)
    total = total * shrink + tl.sum(weights, 1)
    sums = sums * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
    return higher, total, sums


@triton.jit
def _with_sinks(sink, top, total, sums):
    """A sink takes its share and has no value."""
    higher = tl.maximum(top, sink)
    shrink = tl.exp(top - higher)
    return total * shrink + tl.exp(sink - higher), sums * shrink[:, None]


@triton.jit(do_not_specialize_on_alignment=["rows"])
def join_kernel(
    parts,
    logs,
    sinks,
    out,
    rows,
    V_DIM: tl.constexpr,
    TILE_V: tl.constexpr,
    SPLITS: tl.constexpr,
    HAS_SINKS: tl.constexpr,
):
    """What attend_kernel left of single tokens in SPLITS parts, joined into [N, Hq, V_DIM]. Grid: (S, Hq)."""
    at = tl.program_id(0)
    head = tl.program_id(1)
    heads = tl.num_programs(1)
    split = tl.arange(0, SPLITS)
    v_at = tl.arange(0, TILE_V)
    line = (split * tl.num_programs(0) + at) * heads + head
    log = tl.load(logs + line)
    top = tl.max(log, 0)
    if HAS_SINKS:
        top = tl.maximum(top, tl.load(sinks + head))
    top = tl.where(top == float("-inf"), 0.0, top)
    weights = tl.exp(log - top)
    total = tl.sum(weights, 0)
    if HAS_SINKS:
        total += tl.exp(tl.load(sinks + head) - top)
    inside = (v_at < V_DIM)[None, :]
    part = tl.load(parts + line[:, None] * V_DIM + v_at[None, :], mask=inside, other=0.0)
    joined = tl.sum(part * weights[:, None], 0) / tl.where(total == 0.0, 1.0, total)
    target = out + (tl.load(rows + at) * heads + head) * V_DIM + v_at
    tl.store(target, joined.to(out.dtype.element_ty), mask=v_at < V_DIM)


@triton.jit
def _tanh(x):
    """Without overflow, and NaN for NaN."""
    small = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - small) / (1.0 + small)
    return tl.where(x < 0, -size, size)

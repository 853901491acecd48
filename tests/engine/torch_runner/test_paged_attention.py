"""Paged attention equals attention written out token by token, over memory that is otherwise poison."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arena import DeviceMemory
from engine.step import Slice, Step
from engine.torch_runner import attention, attention_plan
from engine.torch_runner.attention import Attention, TorchAttention
from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.cuda.device_arena import allocate_device_arena
from engine.torch_runner.kv_layout import KvLayout, LayerShape
from engine.torch_runner.kv_pool import TORCH_DTYPES, KvPool, allocate_arena, pool_over
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.packed_batch import pack
from engine.torch_runner.paged_hook import PagedHook
from protocol.ids import AttemptKey, RequestId

BLOCK = 4
BLOCKS = 640
OTHER_LAYER = LayerShape(kv_heads=1, k_dim=4, v_dim=6)


@dataclass(frozen=True)
class Case:
    """Sequences as (start, count), and what the layer asks for."""

    spans: tuple[tuple[int, int], ...]
    kv_heads: int
    group: int
    k_dim: int
    v_dim: int
    window: int | None
    softcap: float | None
    sinks: bool
    seed: int


def cases(
    longest_start: int, longest_count: int, most_group: int, dims: list[int]
) -> st.SearchStrategy[Case]:
    """Mixtures of slices within these bounds."""
    return st.builds(
        Case,
        spans=st.lists(
            st.tuples(st.integers(0, longest_start), st.integers(1, longest_count)), min_size=1, max_size=6
        ).map(tuple),
        kv_heads=st.integers(1, 3),
        group=st.integers(1, most_group),
        k_dim=st.sampled_from(dims),
        v_dim=st.sampled_from(dims),
        window=st.none() | st.integers(1, longest_start),
        softcap=st.none() | st.just(2.0),
        sinks=st.booleans(),
        seed=st.integers(0, 1000),
    )


SMALL = cases(14, 7, 3, [4, 8])
LARGE = cases(300, 60, 5, [6, 31, 32, 64, 96, 100])


def native(threads: int) -> NativeAttention:
    """The native kernels on so many threads."""
    return NativeAttention(NativeLibrary(built_library(), threads))


def _poisoned_pool(case: Case, dtype: str, device: str) -> KvPool:
    shape = LayerShape(case.kv_heads, case.k_dim, case.v_dim)
    layout = KvLayout((OTHER_LAYER, shape), BLOCK, dtype)
    if device == "cpu":
        arena = allocate_arena(BLOCKS, layout.block_bytes)
        arena.data[:] = 0xFF
        return pool_over(arena, layout)
    there = allocate_device_arena(BLOCKS, layout.block_bytes, torch.device(device))
    assert isinstance(there.memory, DeviceMemory)
    there.memory.tensor.fill_(0xFF)
    return pool_over(there, layout)


def _naive(
    case: Case, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sinks: torch.Tensor
) -> torch.Tensor:
    """One query [Hq, Dk] over all its keys [T, Hkv, Dk] and values: [Hq, Dv]."""
    oldest = 0 if case.window is None else max(0, len(key) - case.window)
    out = torch.empty(len(query), case.v_dim)
    for head in range(len(query)):
        scores = key[oldest:, head // case.group] @ query[head] * 0.3
        if case.softcap:
            scores = case.softcap * torch.tanh(scores / case.softcap)
        weights = scores.exp()
        total = weights.sum() + (sinks[head].exp() if case.sinks else 0.0)
        out[head] = (weights[:, None] * value[oldest:, head // case.group]).sum(0) / total
    return out


def check_against_the_formula(
    case: Case, attend: Attention, dtype: str = "float32", device: str = "cpu"
) -> None:
    """Runs one case through the hook and compares every row. All inputs are exact in bf16."""
    generator = torch.Generator().manual_seed(case.seed)
    pool = _poisoned_pool(case, dtype, device)
    numbers = TORCH_DTYPES[dtype]
    free = torch.randperm(BLOCKS, generator=generator).tolist()
    histories, slices = [], []
    for number, (start, count) in enumerate(case.spans):
        key = _randn(start + count, case.kv_heads, case.k_dim, generator)
        value = _randn(start + count, case.kv_heads, case.v_dim, generator)
        table = [free.pop() for _ in range(-(-(start + count) // BLOCK))]
        for at in range(start):
            pool.layers[1].key.slots[table[at // BLOCK], :, at % BLOCK] = key[at]
            pool.layers[1].value.slots[table[at // BLOCK], :, at % BLOCK] = value[at]
        histories.append((start, count, key, value))
        slices.append(Slice(AttemptKey(RequestId(f"{number}"), 0), [0] * count, start, table, None))
    heads = case.kv_heads * case.group
    query = _randn(sum(count for _, count in case.spans), heads, case.k_dim, generator)
    sinks = torch.randn(heads, generator=generator)
    hook = PagedHook(pool, attend)
    hook.plan = AttentionPlan(pack(Step(tuple(slices)), BLOCK), BLOCK, numbers)
    ours = hook(
        AttentionCall(
            layer=1,
            query=query.transpose(0, 1).to(device, numbers),
            key=_packed([key[start:] for start, _, key, _ in histories]).to(device, numbers),
            value=_packed([value[start:] for start, _, _, value in histories]).to(device, numbers),
            scaling=0.3,
            window=case.window,
            softcap=case.softcap,
            sinks=sinks.to(device) if case.sinks else None,
        )
    )
    rtol, atol = (1e-4, 1e-5) if dtype == "float32" else (0.02, 0.02)
    row = 0
    for start, count, key, value in histories:
        for at in range(start, start + count):
            expected = _naive(case, query[row], key[: at + 1], value[: at + 1], sinks)
            torch.testing.assert_close(ours[row].float().cpu(), expected, rtol=rtol, atol=atol)
            row += 1


def _packed(parts: list[torch.Tensor]) -> torch.Tensor:
    """[heads, N, D] of parts [tokens, heads, D]."""
    return torch.cat(parts).transpose(0, 1)


def _randn(rows: int, heads: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(rows, heads, dim, generator=generator).bfloat16().float()


@settings(max_examples=60, deadline=None)
@given(SMALL)
def test_paged_attention_equals_the_plain_formula(case: Case) -> None:
    """Any mixture of chunks and single tokens at any start, with or without window, softcap, sinks
    and shared heads, over scattered blocks, never sees a slot that was not written."""
    check_against_the_formula(case, TorchAttention())


@settings(max_examples=60, deadline=None)
@given(SMALL)
def test_native_attention_equals_the_plain_formula(case: Case) -> None:
    """The native kernels keep the same promise."""
    check_against_the_formula(case, native(1))


@settings(max_examples=25, deadline=None)
@given(LARGE, st.sampled_from(["float32", "bfloat16"]), st.integers(1, 3))
def test_long_native_attention_equals_the_plain_formula(case: Case, dtype: str, threads: int) -> None:
    """So they do over many tiles, many blocks of keys, contexts cut into parts, heads of odd sizes,
    several threads, and in bf16 within its rounding."""
    check_against_the_formula(case, native(threads), dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_long_sequence_is_cut_into_parts(dtype: str) -> None:
    """One token over a long context uses several threads, and the parts add up."""
    for window, sinks in ((None, False), (700, True)):
        case = Case(((2000, 1),), 1, 4, 64, 32, window, None, sinks, seed=3)
        check_against_the_formula(case, native(3), dtype)


def test_bounded_scratch_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a batch or a chunk exceeds the scratch bounds it is split, with the same result."""
    monkeypatch.setattr(attention_plan, "GROUP_TOKENS", 8)
    monkeypatch.setattr(attention, "TILE_SCORES", 8)
    spans = ((9, 1), (13, 1), (2, 1), (0, 1), (5, 6), (0, 7))
    plain = TorchAttention()
    check_against_the_formula(Case(spans, 2, 2, 4, 8, None, None, sinks=True, seed=1), plain)
    check_against_the_formula(Case(spans, 2, 2, 4, 8, 5, 2.0, sinks=False, seed=2), plain)


def test_singles_of_very_different_length_are_not_padded_to_the_longest() -> None:
    """A short sequence beside a long one costs about its own length."""
    key = AttemptKey(RequestId("a"), 0)
    steps = (
        Slice(key, [1], 4000, range(1001), None),
        *(Slice(key, [1], at, range(50), None) for at in (3, 7, 11, 90)),
    )
    plan = AttentionPlan(pack(Step(steps), BLOCK), BLOCK, torch.float32)
    padded = sum(group.pages.blocks.numel() for group in plan.groups(None))
    needed = sum(math.ceil((part.start + 1) / BLOCK) for part in steps)
    assert padded <= 1.1 * needed


def test_a_window_reads_only_its_own_pages() -> None:
    """With a sliding window a long sequence gathers no more pages than the window touches."""
    part = Slice(AttemptKey(RequestId("a"), 0), [1], 4000, range(1001), None)
    plan = AttentionPlan(pack(Step((part,)), BLOCK), BLOCK, torch.float32)
    assert [group.pages.blocks.tolist() for group in plan.groups(6)] == [[[998, 999, 1000]]]

"""KV in int8: what is stored, that attention reads exactly that, and where it is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.step import Draw, Slice, Step
from engine.torch_runner import torch_runner
from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.kv_layout import KvLayout, LayerShape
from engine.torch_runner.kv_pool import KvPool, PagedTensor, allocate_arena, pool_over
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.native.library import load_native
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.packed_batch import pack
from engine.torch_runner.paged_hook import PagedHook
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import InvalidSpec
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from tests.engine.runner_conformance import Tale
from tests.engine.tiny_models import KINDS, random_prompt
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.test_paged_attention import BLOCK, BLOCKS, Case, _naive, cases
from tests.engine.torch_runner.test_torch_greedy import ANSWER, BLOCK_SIZE, Reader, blocks_for, read_together

KEY = AttemptKey(RequestId("one"), 0)
CASES = cases(150, 40, 5, [6, 31, 32, 64, 100])


def is_possible() -> bool:
    """Whether this CPU can; where it cannot, that it is refused is all there is to prove."""
    native = load_native(1)
    return native is not None and torch.int8 in native.attend


def as_int8(x: torch.Tensor) -> torch.Tensor:
    """What is kept of x [..., D]: 255 steps of each row's own."""
    scale = x.abs().amax(-1, keepdim=True) / 127
    return torch.round(x / scale) * scale


def poisoned_pool(shape: LayerShape) -> KvPool:
    """One layer; what nobody wrote is no number."""
    layout = KvLayout((shape,), BLOCK, "int8")
    arena = allocate_arena(BLOCKS, layout.block_bytes)
    arena.data[:] = 0xFF
    return pool_over(arena, layout)


def run(pool: KvPool, threads: int, step: Step, heads: tuple[torch.Tensor, ...], case: Case) -> torch.Tensor:
    """Queries, keys and values [N, H, D] of a step through the hook."""
    native = load_native(threads)
    assert native is not None
    hook = PagedHook(pool, NativeAttention(native))
    hook.plan = AttentionPlan(pack(step, BLOCK), BLOCK, torch.bfloat16)
    query, key, value = (part.transpose(0, 1).bfloat16() for part in heads)
    return hook(AttentionCall(0, query, key, value, 0.3, case.window, case.softcap, None)).float()


@settings(max_examples=25, deadline=None)
@given(CASES, st.integers(1, 3))
def test_attention_equals_the_formula_on_what_is_kept(case: Case, threads: int) -> None:
    """Any chunk after any context, over scattered blocks; no slot that was not written is read."""
    if not is_possible():
        return
    generator = torch.Generator().manual_seed(case.seed)
    pool = poisoned_pool(LayerShape(case.kv_heads, case.k_dim, case.v_dim))
    start, count = case.spans[0]
    total, heads = start + count, case.kv_heads * case.group
    dims = ((heads, case.k_dim), (case.kv_heads, case.k_dim), (case.kv_heads, case.v_dim))
    query, key, value = (torch.randn(total, *dim, generator=generator).bfloat16().float() for dim in dims)
    table = torch.randperm(BLOCKS, generator=generator)[: -(-total // BLOCK)].tolist()
    for first, last in ((0, start), (start, total)):
        if first < last:
            step = Step((Slice(KEY, [0] * (last - first), first, table, None),))
            parts = tuple(part[first:last] for part in (query, key, value))
            ours = run(pool, threads, step, parts, case)
    plain = replace(case, sinks=False)
    for at in range(start, total):
        expected = _naive(
            plain, query[at], as_int8(key[: at + 1]), as_int8(value[: at + 1]), torch.zeros(heads)
        )
        torch.testing.assert_close(ours[at - start], expected, rtol=0.02, atol=0.02)


def test_what_is_kept_is_off_by_half_a_step_at_most() -> None:
    """D numbers, then their scale; a row of zeros has none."""
    if not is_possible():
        return
    pool, case = poisoned_pool(LayerShape(2, 33, 8)), Case(((0, 6),), 2, 1, 33, 8, None, None, False, 0)
    generator = torch.Generator().manual_seed(1)
    key = torch.randn(6, 2, 33, generator=generator).bfloat16().float()
    key[3] = 0
    value = torch.randn(6, 2, 8, generator=generator)
    run(pool, 1, Step((Slice(KEY, [0] * 6, 0, [7, 3], None),)), (key, key, value), case)
    kept = stored(pool.layers[0].key, [7, 3], 33)[:6]
    assert bool(((kept - key).abs() <= 0.501 * key.abs().amax(-1, keepdim=True) / 127).all())


def stored(paged: PagedTensor, table: list[int], dim: int) -> torch.Tensor:
    """fp32 [tokens, heads, dim] in these blocks."""
    rows = paged.slots[table].transpose(1, 2).reshape(-1, paged.heads, paged.dim)
    scale = rows[..., dim:].contiguous().view(torch.float32)
    return rows[..., :dim].float() * scale


def load(folder_of: FolderOf, kind: str, **options: Any) -> TorchRunner:
    """A small runner whose KV is int8."""
    settings = {"kv_bytes": 4 << 20, "dtype": "bf16", "kv_dtype": "int8", "block_size": BLOCK_SIZE, **options}
    return TorchRunner.load(LoadOptions(str(folder_of(kind)), now=time.perf_counter, **settings))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_the_gate_with_half_the_bytes(kind: str, folder_of: FolderOf) -> None:
    """Windows, softcaps, sinks, experts and latent heads too. Of D numbers 2 D bytes become D + 4."""
    if not is_possible():
        return
    ours, other = load(folder_of, kind), load(folder_of, kind, kv_dtype="model")
    assert ours.facts.dtype == other.facts.dtype == "bfloat16"
    assert 0.5 < ours.arena.block_bytes / other.arena.block_bytes < 0.7
    assert ours.facts.fingerprint != other.facts.fingerprint


@pytest.mark.parametrize("weights", ["model", "int8"])
def test_a_batch_says_what_each_says_alone(weights: str, folder_of: FolderOf) -> None:
    """Whoever shares a step, the same tokens come."""
    if not is_possible():
        return
    runner = load(folder_of, "qwen3", weights=weights)
    lengths, together, first = (1, 17, 40, 9), [], 0
    for number, length in enumerate(lengths):
        table = tuple(range(first, first + blocks_for(length)))
        first += len(table)
        tale = Tale(f"{number}", tuple(random_prompt(length, number)), table)
        together.append(Reader(tale, [], begins=number % 3))
    read_together(runner, together)
    for one in together:
        alone = Reader(one.tale, [], begins=0)
        read_together(runner, [alone])
        assert alone.said == one.said
        assert len(alone.said) == ANSWER


def test_a_request_with_broken_kv_harms_no_other(folder_of: FolderOf) -> None:
    """A scale that is no number reaches its own sequence only, which draws None."""
    if not is_possible():
        return
    runner = load(folder_of, "llama")
    greedy = Sampling(seed=0, temperature=0.0)
    good = Slice(KEY, [9, 8, 7], 0, [1], Draw(greedy, 0, [9, 8, 7], ()))
    (alone,) = runner.launch(Step((good,))).result().sampled
    runner.arena.data[2] = 0xFF
    broken = Slice(KEY, [5], 15, [2], Draw(greedy, 0, [5], ()))
    assert runner.launch(Step((broken, good, broken))).result().sampled == (None, alone, None)


def test_where_it_cannot_be_had_it_is_refused(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32, a format that does not exist, a CPU without the instructions, a machine without a compiler."""
    for message, options in (
        ("kv_dtype: int8 cannot be had: it is read as bf16", {"dtype": "fp32"}),
        ("kv_dtype 'fp8' is not offered", {"kv_dtype": "fp8"}),
    ):
        with pytest.raises(InvalidSpec, match=message) as caught:
            load(folder_of, "llama", **options)
        assert caught.value.param == "kv_dtype"
    native = load_native(1)
    assert native is not None
    native.attend.pop(torch.int8, None)
    for library, message in ((native, "avx512_bf16"), (None, "native kernels")):
        monkeypatch.setattr(torch_runner, "load_native", lambda threads, library=library: library)
        with pytest.raises(InvalidSpec, match=message):
            load(folder_of, "llama")

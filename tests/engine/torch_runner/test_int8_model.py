"""A model whose weights are int8: what it says, and where it is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from engine.step import Slice, Step
from engine.torch_runner import torch_runner
from engine.torch_runner.forward import PagedForward
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import LoadedModel, load_model
from engine.torch_runner.native import int8_kernels, quantise
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.fused_layer import FusedLayer
from engine.torch_runner.native.library import load_native
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import EngineFailed, InvalidSpec
from protocol.ids import AttemptKey, RequestId
from tests.engine.runner_conformance import Tale
from tests.engine.tiny_models import random_prompt
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.test_torch_greedy import ANSWER, BLOCK_SIZE, Reader, blocks_for, read_together

DENSE = ("llama", "qwen3", "gemma2", "gemma3")
LENGTHS = (1, 17, 40, 130, 9)


def is_possible() -> bool:
    """Whether this CPU can; where it cannot, that it is refused is all there is to prove."""
    try:
        int8_kernels.Int8Kernels(built_library(), 1)
    except EngineFailed:
        return False
    return True


def load(folder_of: FolderOf, kind: str, **options: Any) -> TorchRunner:
    """A small runner with int8 weights."""
    settings = {"kv_bytes": 4 << 20, "dtype": "bf16", "weights": "int8", "block_size": BLOCK_SIZE, **options}
    return TorchRunner.load(LoadOptions(str(folder_of(kind)), now=time.perf_counter, **settings))


def readers() -> list[Reader]:
    """Some prompts in blocks of their own, joining one after another."""
    made, first = [], 0
    for number, length in enumerate(LENGTHS):
        table = tuple(range(first, first + blocks_for(length)))
        first += len(table)
        tale = Tale(f"{number}", tuple(random_prompt(length, number)), table)
        made.append(Reader(tale, [], begins=number % 3))
    return made


@pytest.mark.parametrize("kind", DENSE)
def test_it_passes_the_gate_and_loses_its_matrices(kind: str, folder_of: FolderOf) -> None:
    """Every kind without experts: nothing but embeddings and vectors is left of the weights, and the layers
    of the Llama family are computed whole."""
    if not is_possible():
        return
    native = load_native(1)
    assert native is not None
    model = load_model(open_folder(folder_of(kind)), "bfloat16")
    gate(model, 16, "bfloat16", NativeAttention(native), native, "int8")
    left = [name for name, one in model.network.named_parameters() if one.dim() > 1]
    assert left == ["model.embed_tokens.weight"]
    whole = [isinstance(layer.__dict__.get("forward"), FusedLayer) for layer in model.network.model.layers]
    assert whole == [kind in ("llama", "qwen3")] * model.facts.layers


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_batch_says_what_each_says_alone(kind: str, folder_of: FolderOf) -> None:
    """Chunks and batches of any size give the tokens of one sequence by itself."""
    if not is_possible():
        return
    together = readers()
    read_together(load(folder_of, kind), together)
    runner = load(folder_of, kind)
    for one, among in zip(readers(), together, strict=True):
        one.begins = 0
        read_together(runner, [one])
        assert one.said == among.said
        assert len(one.said) == ANSWER


@pytest.mark.parametrize("weights", ["model", "int8"])
def test_threads_share_a_long_context(weights: str, folder_of: FolderOf) -> None:
    """One token after 700: its context is cut in parts where threads outnumber heads, and the logits stay."""
    if not is_possible():
        return
    one, two = (_logits_after_700(folder_of, weights, threads) for threads in (1, 4))
    assert (torch.linalg.vector_norm(one - two) / torch.linalg.vector_norm(one)).item() < 0.1


def _logits_after_700(folder_of: FolderOf, weights: str, threads: int) -> torch.Tensor:
    native = load_native(threads)
    assert native is not None
    model = load_model(open_folder(folder_of("llama")), "bfloat16")
    attention = NativeAttention(native)
    layout = gate(model, BLOCK_SIZE, "bfloat16", attention, native, weights)
    forward = PagedForward(model, pool_over(allocate_arena(50, layout.block_bytes), layout), attention)
    prompt, key = random_prompt(701, 5), AttemptKey(RequestId("one"), 0)
    forward.run(Step((Slice(key, prompt[:700], 0, range(50), None),)))
    return forward.run(Step((Slice(key, prompt[700:], 700, range(50), None),)), torch.tensor([0]))


def test_a_tied_head_leaves_the_embedding(folder_of: FolderOf) -> None:
    """The head becomes a copy in int8; lookups read the numbers that were loaded."""
    if not is_possible():
        return
    model = _tied(folder_of)
    table = model.network.model.embed_tokens.weight.detach().clone()
    rows = torch.randn(3, table.shape[1], generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = model.network.lm_head(rows)
    quantise.quantise(model, load_native(1))
    assert torch.equal(model.network.model.embed_tokens.weight, table)
    error = model.network.lm_head(rows) - expected
    assert (error.norm() / expected.norm()).item() < 0.02


def _tied(folder_of: FolderOf) -> LoadedModel:
    model = load_model(open_folder(folder_of("llama")), "bfloat16")
    model.network.lm_head.weight = model.network.model.embed_tokens.weight
    return model


def test_pools_of_other_weights_do_not_mix(folder_of: FolderOf) -> None:
    """KV that int8 weights computed is not what the model's own would have; the fingerprint tells."""
    if not is_possible():
        return
    other = load(folder_of, "llama", weights="model")
    assert load(folder_of, "llama").facts.fingerprint != other.facts.fingerprint
    assert load(folder_of, "llama").facts.fingerprint == load(folder_of, "llama").facts.fingerprint


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss", "deepseek_v3"])
def test_experts_are_refused(kind: str, folder_of: FolderOf) -> None:
    """Their weights are no linear modules: one sentence names some."""
    with pytest.raises(InvalidSpec, match=r"that are no plain linear layer .*experts") as caught:
        load(folder_of, kind)
    assert caught.value.param == "weights"


def test_no_native_kernels_is_a_refusal(folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler nothing computes with int8."""
    monkeypatch.setattr(torch_runner, "load_native", lambda threads: None)
    with pytest.raises(InvalidSpec, match=r"weights: int8 .*native kernels"):
        load(folder_of, "llama")


def test_a_cpu_without_the_instructions_is_a_refusal(
    folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says what it was built for."""
    monkeypatch.setattr(int8_kernels, "GROUP", 1)
    with pytest.raises(InvalidSpec, match=r"weights: int8 .*avx512_vnni"):
        load(folder_of, "llama")


def test_what_does_not_go_with_it_is_a_refusal(folder_of: FolderOf) -> None:
    """fp32 has no such kernel, and other formats do not exist."""
    with pytest.raises(InvalidSpec, match="dtype is fp32"):
        load(folder_of, "llama", dtype="fp32")
    with pytest.raises(InvalidSpec, match="'int4' are not offered"):
        load(folder_of, "llama", weights="int4")


def test_weights_that_int8_does_not_suit_are_a_refusal(
    folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test compares with the model's own weights; a wrong scale never leaves the load step."""
    if not is_possible():
        return
    monkeypatch.setattr("engine.torch_runner.native.int8_weight.MOST", 16)
    with pytest.raises(InvalidSpec, match="with weights: int8, this llama model gives other logits"):
        load(folder_of, "llama")

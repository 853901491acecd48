"""What the torch runner adds to the seam: failures that stay inside, fingerprints that mean something."""

from __future__ import annotations

import json
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.step import Draw, Slice, Step
from engine.torch_runner.attention import TorchAttention
from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.dtype import choose_dtype
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_pool import LayerKv
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import load_model
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import EngineFailed, InvalidSpec, UnsupportedModel
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from tests.engine.torch_runner.conftest import FolderOf

KEY = AttemptKey(RequestId("one"), 0)
GREEDY = Sampling(seed=0, temperature=0.0)


def load(folder: Path, **options: Any) -> TorchRunner:
    """A small fp32 runner."""
    settings = {"kv_bytes": 1 << 20, "dtype": "fp32", **options}
    return TorchRunner.load(LoadOptions(str(folder), now=time.perf_counter, **settings))


def part(tokens: list[int], table: list[int]) -> Slice:
    """A whole prompt that draws."""
    return Slice(KEY, tokens, 0, table, Draw(GREEDY, 0, tokens, ()))


@pytest.mark.parametrize(
    "wrong",
    [
        Slice(KEY, [5], 16, [3], None),
        Slice(KEY, [5], 0, [10_000], None),
        Slice(KEY, [5_000], 0, [3], None),
        Slice(KEY, [-1], 0, [3], None),
    ],
    ids=["table too short", "no such block", "no such token", "negative token"],
)
def test_a_step_that_raises_is_engine_failed(wrong: Slice, folder_of: FolderOf) -> None:
    """launch never raises; result raises EngineFailed, and the runner itself still computes."""
    runner = load(folder_of("llama"))
    expected = runner.launch(Step((part([9, 8, 7], [1]),))).result().sampled
    pending = runner.launch(Step((part([9, 8, 7], [1]), wrong)))
    with pytest.raises(EngineFailed):
        pending.result()
    assert runner.launch(Step((part([9, 8, 7], [1]),))).result().sampled == expected


@pytest.mark.parametrize("kind", ["llama", "mixtral", "gpt_oss"])
def test_a_request_whose_logits_overflow_harms_no_other(kind: str, folder_of: FolderOf) -> None:
    """A sequence with NaN in its own KV draws None; its neighbours in the step say what they say alone."""
    runner = load(folder_of(kind))
    (alone,) = runner.launch(Step((part([9, 8, 7], [1]),))).result().sampled
    runner.arena.data[2] = 0xFF
    broken = Slice(KEY, [5], 15, [2], Draw(GREEDY, 0, [5], ()))
    sampled = runner.launch(Step((broken, part([9, 8, 7], [1]), broken))).result().sampled
    assert sampled == (None, alone, None)


def test_a_step_takes_real_time_and_no_virtual_time(folder_of: FolderOf) -> None:
    """seconds of the pending step is 0, and the result tells how long it took by the injected clock."""
    ticks = iter(range(100))
    options = LoadOptions(str(folder_of("llama")), 1 << 20, lambda: float(next(ticks)), dtype="fp32")
    pending = TorchRunner.load(options).launch(Step((part([9], [0]),)))
    assert (pending.seconds, pending.result().seconds) == (0.0, 1.0)


def test_fingerprints_differ_when_kv_may_not_move(folder_of: FolderOf, tmp_path: Path) -> None:
    """Model, a single weight, rope, dtype and block size each change it; the folder's place, the
    amount of memory and the served name do not."""
    source = folder_of("llama")
    moved, reweighted, reroped = (Path(copytree(source, tmp_path / name)) for name in ("a", "b", "c"))
    tensors = load_file(reweighted / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][3, 3] += 1.0
    save_file(tensors, reweighted / "model.safetensors", {"format": "pt"})
    config = json.loads((reroped / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 5000.0
    (reroped / "config.json").write_text(json.dumps(config))
    base = load(source).facts.fingerprint
    assert load(moved, name="other", kv_bytes=1 << 19).facts.fingerprint == base
    others = [
        load(reweighted),
        load(reroped),
        load(source, dtype="bf16"),
        load(source, block_size=32),
        load(folder_of("qwen3")),
    ]
    assert len({base, *(runner.facts.fingerprint for runner in others)}) == 6


def test_large_weights_are_digested_by_samples(
    folder_of: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the full-digest bound the header and spread samples decide, the last byte included."""
    monkeypatch.setattr("engine.torch_runner.model_folder.FULL_DIGEST_BYTES", 1000)
    folder = Path(copytree(folder_of("llama"), tmp_path / "copy"))
    before = open_folder(folder).digest()
    assert before == open_folder(folder_of("llama")).digest()
    data = np.fromfile(folder / "model.safetensors", np.uint8)
    data[-1] ^= 1
    data.tofile(folder / "model.safetensors")
    assert open_folder(folder).digest() != before


class Forgetful(TorchAttention):
    """Attention that loses a tenth of every value."""

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """Right for position 0 alone."""
        out = super().attend(call, layer, plan)
        out[plan.batch.position_ids[0] > 0] *= 0.9
        return out


def test_the_self_test_sees_wrong_attention(folder_of: FolderOf) -> None:
    """A backend that is off by a tenth is refused in fp32, with the measured error."""
    model = load_model(open_folder(folder_of("llama")), "float32")
    with pytest.raises(UnsupportedModel, match="relative error"):
        gate(model, 16, "float32", Forgetful(), None)


def test_one_process_may_hold_two_models(folder_of: FolderOf) -> None:
    """Runners share nothing: interleaved steps give what each gives alone."""
    first, second = load(folder_of("llama")), load(folder_of("qwen3"))
    step = Step((part([9, 8, 7], [1]),))
    expected = [first.launch(step).result().sampled, second.launch(step).result().sampled]
    again = [load(folder_of("llama")), load(folder_of("qwen3"))]
    assert [runner.launch(step).result().sampled for runner in again] == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize(
    ("wanted", "flags", "chosen"),
    [
        ("auto", {"avx2", "avx512f"}, "float32"),
        ("auto", {"avx512_bf16"}, "bfloat16"),
        ("auto", {"amx_bf16", "amx_tile"}, "bfloat16"),
        ("auto", set(), "float32"),
        ("fp32", {"amx_bf16"}, "float32"),
        ("bf16", set(), "bfloat16"),
        ("bfloat16", set(), "bfloat16"),
    ],
)
def test_auto_is_bf16_only_where_it_is_native(wanted: str, flags: set[str], chosen: str) -> None:
    """auto follows the CPU, and an explicit word follows the operator."""
    assert choose_dtype(wanted, frozenset(flags)) == chosen


def test_other_dtypes_are_refused_by_name() -> None:
    """fp16 is not offered, and the message says what is."""
    with pytest.raises(InvalidSpec, match="fp32"):
        choose_dtype("fp16", frozenset())

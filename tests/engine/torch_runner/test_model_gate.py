"""The load gate: a model whose logits would be wrong never serves, and the reason is one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import InvalidSpec, UnsupportedModel
from tests.engine.tiny_models import write_model, write_tiny_model
from tests.engine.torch_runner.conftest import FolderOf

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [2.0] * 8,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no positions": ("bloom", {"n_layer": 2, "n_head": 2, "hidden_size": 32}, "max_position_embeddings"),
    "own attention": ("gptj", {"n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 8}, "attention code"),
    "alibi": ("falcon", {**SMALL, "alibi": True}, "ALiBi"),
    "own rotary attention": ("falcon", {**SMALL, "alibi": False}, "attention code"),
    "layers that miss the hook": ("xglm", {"d_model": 32, "num_layers": 2, "attention_heads": 2}, "0 of 2"),
    "recurrent layers": (
        "qwen3_next",
        {**SMALL, "num_hidden_layers": 4, "num_experts": 4},
        "linear_attention",
    ),
    "chunked attention": ("llama4_text", {**SMALL, "attention_chunk_size": 32}, "attention_chunk_size"),
    "longrope": ("llama", {**SMALL, "rope_parameters": LONG_ROPE}, "longrope"),
    "dynamic rope": (
        "llama",
        {**SMALL, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
        "dynamic",
    ),
    "a window only in the mask": ("phimoe", {**SMALL, "sliding_window": 16}, "windows"),
    "attention both ways": ("bert", {**SMALL}, "not causal"),
}


def refusal(folder: Path | str, **options: Any) -> str:
    """The sentence with which a folder is refused."""
    with pytest.raises(UnsupportedModel) as refused:
        TorchRunner.load(LoadOptions(str(folder), 4 << 20, time.perf_counter, dtype="fp32", **options))
    assert "\n" not in refused.value.message
    return refused.value.message


@pytest.mark.parametrize("case", REFUSED)
def test_architectures_that_paging_would_get_wrong_are_refused(case: str, tmp_path: Path) -> None:
    """Each kind of model that would give wrong logits silently is named and refused."""
    model_type, settings, reason = REFUSED[case]
    config = AutoConfig.for_model(model_type, **settings)
    assert reason in refusal(write_model(config, tmp_path))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A path that is not there is not looked up anywhere else."""
    assert "no model folder" in refusal(tmp_path / "nowhere")


def test_a_file_is_refused(tmp_path: Path) -> None:
    """A single file is not a model."""
    (tmp_path / "model.gguf").touch()
    assert "is a file" in refusal(tmp_path / "model.gguf")


Spoiler = Callable[[Path], None]


def _edit(name: str, **changes: Any) -> Spoiler:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    return spoil


def _weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Spoiler:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return spoil


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _garble(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x20\0\0\0\0\0\0\0not a header at all, really not!")


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _half_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


BROKEN: dict[str, tuple[Spoiler, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "config is not JSON": (lambda folder: _write(folder / "config.json", "{"), "cannot be read as JSON"),
    "config is a list": (lambda folder: _write(folder / "config.json", "[]"), "JSON object"),
    "unknown type": (_edit("config.json", model_type="wonder"), "wonder"),
    "own code": (_edit("config.json", model_type="wonder", auto_map={"AutoConfig": "a.B"}), "never runs"),
    "encoder-decoder": (_edit("config.json", model_type="t5"), "not a decoder-only"),
    "quantised": (_edit("config.json", quantization_config={"quant_method": "gptq", "bits": 4}), "gptq"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
    "pickled weights": (_pickled, "never pickled"),
    "truncated weights": (_truncate, "truncated"),
    "weights that are noise": (_garble, "not a safetensors file"),
    "a shard is missing": (_half_index, "lacks model-00001-of-00002.safetensors"),
    "a tensor is missing": (_weights(lambda tensors: _drop(tensors, "model.norm.weight")), "missing"),
    "a tensor too many": (_weights(lambda tensors: _add(tensors, "model.norm.bias")), "no place"),
    "a tensor of another shape": (_edit("config.json", intermediate_size=80), "another shape"),
}


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _drop(tensors: dict[str, torch.Tensor], name: str) -> None:
    del tensors[name]


def _add(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = torch.zeros(64)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders_are_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    """Whatever is missing, damaged or does not fit is named; nothing is filled in at random."""
    spoil, reason = BROKEN[case]
    spoil(write_tiny_model("llama", tmp_path))
    assert reason in refusal(tmp_path)


def test_an_operator_may_shorten_the_context_not_lengthen_it(folder_of: FolderOf) -> None:
    """The context served is the tightest of the model's, the operator's and what the memory holds."""

    def context(**options: Any) -> int:
        settings = {"kv_bytes": 4 << 20, **options}
        return TorchRunner.load(
            LoadOptions(str(folder_of("llama")), now=time.perf_counter, dtype="fp32", **settings)
        ).facts.max_context

    assert context() == 2048
    assert context(max_context=100) == 100
    assert context(max_context=5000) == 2048
    assert context(kv_bytes=1 << 16) == (1 << 16) // (3 * 2 * 2 * 16 * 4 * 16) * 16


def test_memory_for_less_than_two_blocks_is_refused(folder_of: FolderOf) -> None:
    """KV memory that holds nothing is the operator's mistake, and says how much is needed."""
    with pytest.raises(InvalidSpec, match="too small"):
        TorchRunner.load(LoadOptions(str(folder_of("llama")), 100, time.perf_counter, dtype="fp32"))


def test_an_unknown_dtype_is_refused(folder_of: FolderOf) -> None:
    """Only auto, fp32 and bf16 are words for a dtype."""
    with pytest.raises(InvalidSpec, match="fp8"):
        TorchRunner.load(LoadOptions(str(folder_of("llama")), 1 << 20, time.perf_counter, dtype="fp8"))

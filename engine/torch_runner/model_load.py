"""Loads a decoder model whose attention runs through our hook. Fails closed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from engine.torch_runner.attention_hook import HOOK_NAME, register_hook
from engine.torch_runner.config_gate import DecoderFacts, check_config
from engine.torch_runner.kv_pool import TORCH_DTYPES
from engine.torch_runner.model_folder import ModelFolder
from protocol.errors import UnsupportedModel

SHOWN_NAMES = 3
FAULTS = {
    "missing_keys": "tensors are missing",
    "mismatched_keys": "tensors have another shape",
    "unexpected_keys": "tensors have no place in the model",
    "error_msgs": "errors",
}
"""What transformers reports of a load, in words."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode, and what its config says of it."""

    network: Any
    facts: DecoderFacts
    picks_rows: bool
    """Whether forward computes logits only for the rows asked for."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(iter(self.network.parameters())).device  # type: ignore[no-any-return]

    def logits(self, input_ids: torch.Tensor, position_ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """[R, vocabulary] in fp32 after the packed rows [R], sorted; ids and positions are [1, N].
        They may be anywhere; the logits are where the weights are."""
        input_ids, position_ids, rows = (one.to(self.device) for one in (input_ids, position_ids, rows))
        picked = {"logits_to_keep": rows} if self.picks_rows else {}
        out = self.network(input_ids=input_ids, position_ids=position_ids, use_cache=False, **picked)
        logits: torch.Tensor = out.logits[0]
        return (logits if self.picks_rows else logits[rows]).float()


def load_model(folder: ModelFolder, dtype: str) -> LoadedModel:
    """The model of `folder`. Raises UnsupportedModel with one sentence for whatever is wrong."""
    facts = check_config(_config(folder))
    register_hook()
    transformers_logging.disable_progress_bar()
    network = _network(folder, dtype)
    parameters = inspect.signature(network.forward).parameters
    if "position_ids" not in parameters:
        kind = folder.config.get("model_type")
        raise UnsupportedModel(f"a {kind} model takes no positions, so its tokens cannot be packed")
    return LoadedModel(network, facts, "logits_to_keep" in parameters)


def _config(folder: ModelFolder) -> Any:
    kind = folder.config.get("model_type")
    try:
        return AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        if "auto_map" in folder.config:
            raise UnsupportedModel(f"a {kind} model brings its own code, which Baton never runs") from error
        raise UnsupportedModel(f"the config of {folder.path} is not usable: {_reason(error)}") from error


def _network(folder: ModelFolder, dtype: str) -> Any:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder.path,
            dtype=TORCH_DTYPES[dtype],
            attn_implementation=HOOK_NAME,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        if HOOK_NAME in str(error):
            kind = folder.config.get("model_type")
            raise UnsupportedModel(f"a {kind} model has attention code of its own, with no hook") from error
        raise UnsupportedModel(f"the weights in {folder.path} do not load: {_reason(error)}") from error
    network, report = loaded
    for fault, what in FAULTS.items():
        names = sorted(str(name) for name in report.get(fault) or ())
        if names:
            shown = ", ".join(names[:SHOWN_NAMES])
            raise UnsupportedModel(
                f"the weights in {folder.path} do not fit its config: {len(names)} {what} ({shown})"
            )
    network.eval()
    network.requires_grad_(False)
    return network


def _reason(error: Exception) -> str:
    """The first sentence of what a library says."""
    words = str(error).strip() or type(error).__name__
    return words.split("\n")[0].split(". ")[0]

"""Puts a device runner together from its parts. Needs no triton."""

from __future__ import annotations

import logging

import torch

from engine.arena import Arena
from engine.runner import RunnerFacts
from engine.torch_runner.cuda.cuda_runner import CudaRunner
from engine.torch_runner.cuda.decode_graphs import BUCKETS, DecodeGraphs
from engine.torch_runner.cuda.device_forward import DeviceForward, TableAttention
from engine.torch_runner.cuda.streams import Streams
from engine.torch_runner.kv_layout import KvLayout
from engine.torch_runner.kv_pool import pool_over
from engine.torch_runner.model_load import LoadedModel
from protocol.errors import InvalidSpec

logger = logging.getLogger(__name__)


def assemble(
    model: LoadedModel,
    layout: KvLayout,
    arena: Arena,
    attention: TableAttention,
    streams: Streams,
    facts: RunnerFacts,
    buckets: tuple[int, ...] = BUCKETS,
) -> CudaRunner:
    """A runner of these parts, with its graphs recorded where the model allows it. Raises InvalidSpec if
    the memory that is left is too little for that."""
    forward = DeviceForward(model, pool_over(arena, layout), attention)
    return CudaRunner(facts, arena, forward, streams, _graphs(streams, forward, facts, buckets))


def _graphs(
    streams: Streams, forward: DeviceForward, facts: RunnerFacts, buckets: tuple[int, ...]
) -> DecodeGraphs | None:
    try:
        return DecodeGraphs(streams, forward, facts.max_context, facts.block_size, buckets)
    except torch.OutOfMemoryError as error:
        raise InvalidSpec(
            "kv_memory: nothing is left on the device for a step beside the model and its KV",
            param="kv_memory",
        ) from error
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        logger.warning("decode steps of this model run without CUDA graphs: %s", reason)
        return None

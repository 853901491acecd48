"""The device runner over host memory."""

from __future__ import annotations

import time
from pathlib import Path

from engine.torch_runner.attention import TorchAttention
from engine.torch_runner.cuda.assemble import assemble
from engine.torch_runner.cuda.cuda_runner import CudaRunner
from engine.torch_runner.cuda.decode_graphs import BUCKETS
from engine.torch_runner.cuda.device_forward import TableAttention
from engine.torch_runner.cuda.host_streams import HostStreams
from engine.torch_runner.cuda.streams import Streams
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_pool import allocate_arena
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import load_model
from engine.torch_runner.torch_runner import describe
from tests.engine.torch_runner.table_attention import TorchTableAttention


def host_device_runner(
    folder: Path,
    attention: TableAttention | None = None,
    streams: Streams | None = None,
    kv_bytes: int = 2 << 20,
    block_size: int = 8,
    buckets: tuple[int, ...] = BUCKETS,
) -> CudaRunner:
    """As load_cuda makes one, fp32; by default with attention in plain torch."""
    options = LoadOptions(str(folder), kv_bytes, time.perf_counter, dtype="fp32", block_size=block_size)
    opened = open_folder(folder)
    model = load_model(opened, "float32")
    layout = gate(model, block_size, "float32", TorchAttention(), None)
    arena = allocate_arena(layout.blocks_in(kv_bytes), layout.block_bytes)
    facts = describe(options, model, layout, arena, opened.digest(), lookahead=1)
    attention = attention or TorchTableAttention()
    streams = streams or HostStreams(time.perf_counter)
    return assemble(model, layout, arena, attention, streams, facts, buckets)

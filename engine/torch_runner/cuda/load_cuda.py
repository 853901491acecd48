"""Loads a model onto a CUDA device."""

from __future__ import annotations

import torch

from engine.torch_runner.cuda.assemble import assemble
from engine.torch_runner.cuda.cuda_runner import CudaRunner
from engine.torch_runner.cuda.device_arena import allocate_device_arena
from engine.torch_runner.cuda.read_devices import read_devices
from engine.torch_runner.cuda.streams import CudaStreams
from engine.torch_runner.cuda.triton_attention import TritonAttention
from engine.torch_runner.device import (
    check_device_formats,
    check_device_memory,
    choose_device_dtype,
    device_facts,
    device_index,
)
from engine.torch_runner.gate import gate
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.model_folder import open_folder, resolve_model
from engine.torch_runner.model_load import LoadedModel, load_model
from engine.torch_runner.torch_runner import describe
from protocol.errors import InvalidSpec

LOOKAHEAD = 1


def load_cuda(options: LoadOptions) -> CudaRunner:
    """Loads, gates and self-tests a model on the device of `options`, then allocates its KV memory.
    Raises UnsupportedModel if the model cannot be served, InvalidSpec if an option is wrong."""
    index = device_index(options.device) or 0
    found = device_facts(options.device, read_devices(index))
    dtype = choose_device_dtype(options.dtype, found)
    check_device_formats(options.device, options.weights, options.kv_dtype)
    check_device_memory(options.device, found, options.kv_bytes)
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = open_folder(resolve_model(options.model))
    model = load_model(folder, dtype)
    _move(model, device, options)
    attention = TritonAttention(found.multiprocessors)
    layout = gate(model, options.block_size, dtype, attention, None)
    torch.cuda.empty_cache()
    arena = allocate_device_arena(layout.blocks_in(options.kv_bytes), layout.block_bytes, device)
    facts = describe(options, model, layout, arena, folder.digest(), LOOKAHEAD)
    return assemble(model, layout, arena, attention, CudaStreams(device), facts)


def _move(model: LoadedModel, device: torch.device, options: LoadOptions) -> None:
    try:
        model.network.to(device)
    except torch.OutOfMemoryError as error:
        raise InvalidSpec(f"the model does not fit into the memory of {options.device}") from error

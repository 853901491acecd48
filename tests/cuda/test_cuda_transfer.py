"""KV blocks on a device are read by NIXL."""

from __future__ import annotations

import time

import torch

from engine.arena import Arena, DeviceMemory
from engine.torch_runner.cuda.device_arena import allocate_device_arena
from kv_transfer.nixl_agent import ucx_config
from kv_transfer.nixl_transport import NixlSettings, NixlTransport
from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.messages import SourceFacts

BLOCKS, BLOCK_BYTES = 16, 128 << 10
DEADLINE_S = 60.0


def transport(name: str, arena: Arena) -> tuple[WorkerIdentity, NixlTransport]:
    """As a worker makes it."""
    identity = WorkerIdentity(WorkerId(name), Incarnation("1"))
    return identity, NixlTransport(identity, arena, time.monotonic, NixlSettings(ucx_config("127.0.0.1", {})))


def finished(reader: NixlTransport, read: ReadId) -> ReadState:
    """Its last state."""
    end = time.monotonic() + DEADLINE_S
    while reader.poll(read) is ReadState.PENDING and time.monotonic() < end:
        time.sleep(0.001)
    return reader.poll(read)


def test_blocks_move_between_devices_arenas() -> None:
    """Blocks arrive unchanged at the places asked for, others stay as they were, and generation numbers,
    which lie in host memory, are read beside them."""
    source, target = (allocate_device_arena(BLOCKS, BLOCK_BYTES, torch.device("cuda", 0)) for _ in range(2))
    assert isinstance(source.memory, DeviceMemory) and isinstance(target.memory, DeviceMemory)
    source.memory.tensor.random_(0, 256)
    source.generations[:] = range(100, 100 + BLOCKS)
    torch.cuda.synchronize()
    identity, server = transport("source", source)
    _, reader = transport("reader", target)
    facts = SourceFacts(
        identity=identity,
        agent=server.local_agent(),
        arena_address=source.address,
        block_bytes=BLOCK_BYTES,
        num_blocks=BLOCKS,
        generations_address=source.generations_address,
        device=source.device,
    )
    try:
        reader.connect(facts)
        read = reader.read_blocks(facts, [BlockPair(3, 9), BlockPair(15, 0)])
        assert finished(reader, read) is ReadState.DONE
        numbers = reader.read_generations(facts, [3, 15])
        assert finished(reader, numbers) is ReadState.DONE
        assert reader.generations(numbers) == (103, 115)
    finally:
        reader.close()
        server.close()
    expected = torch.zeros_like(target.memory.tensor)
    expected[9], expected[0] = source.memory.tensor[3], source.memory.tensor[15]
    assert torch.equal(target.memory.tensor, expected)

"""Whole steps as one native call: the logits asked for are those of the modules, however one asks."""

from __future__ import annotations

import pytest
import torch

from engine.step import Slice, Step
from engine.torch_runner.attention import TorchAttention
from engine.torch_runner.forward import PagedForward
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import load_model
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.native.native_decoder import NativeDecoder
from protocol.ids import AttemptKey, RequestId
from tests.engine.torch_runner.conftest import FolderOf

BLOCK = 16
BLOCKS = 40
TOKENS = 200


class Served:
    """A tiny model behind the native attention, or behind torch's and its modules one by one."""

    def __init__(self, folder_of: FolderOf, kind: str, threads: int, native: bool) -> None:
        library = NativeLibrary(built_library(), threads)
        model = load_model(open_folder(folder_of(kind)), "bfloat16")
        attention = NativeAttention(library) if native else TorchAttention()
        layout = gate(model, BLOCK, "bfloat16", attention, library if native else None)
        arena = allocate_arena(BLOCKS, layout.block_bytes)
        self.one_call = isinstance(model.network.__dict__.get("forward"), NativeDecoder)
        self.expects_one_call = native and bool(library.linear_rows)
        self._forward = PagedForward(model, pool_over(arena, layout), attention)

    def run(self, starts: dict[int, tuple[int, int]], rows: list[int]) -> torch.Tensor:
        """Tokens [start, end) of each sequence, whose blocks are its own."""
        parts = tuple(
            Slice(
                AttemptKey(RequestId(f"r{number}"), 0),
                [(37 * number + 11 * at + 3) % 90 for at in range(start, end)],
                start,
                tuple(number * 20 + at for at in range(20)),
                None,
            )
            for number, (start, end) in starts.items()
        )
        return self._forward.run(Step(parts), torch.tensor(rows, dtype=torch.long))


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_single_tokens_give_the_logits_of_the_modules(
    kind: str, threads: int, folder_of: FolderOf
) -> None:
    """Long chunks, several sequences at once, rows asked for in part or not at all."""
    ours, plain = (Served(folder_of, kind, threads, native) for native in (True, False))
    assert ours.one_call == ours.expects_one_call
    steps: list[tuple[dict[int, tuple[int, int]], list[int]]] = [
        ({0: (0, 150)}, []),
        ({0: (150, 170), 1: (0, 90)}, [19, 109]),
        ({1: (90, 91), 0: (170, 171)}, [0, 1]),
        ({0: (171, TOKENS), 1: (91, 92)}, [3, 28, 29]),
    ]
    for starts, rows in steps:
        expected, got = plain.run(starts, rows), ours.run(starts, rows)
        assert got.shape == expected.shape
        error = torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected).clamp_min(1)
        assert error < 0.03


def test_a_row_asked_for_alone_is_the_row_asked_for_among_all(folder_of: FolderOf) -> None:
    """The last layer leaves out what nobody asked for."""
    ours = Served(folder_of, "qwen3", 2, native=True)
    every = ours.run({0: (0, 70)}, list(range(70)))
    some = ours.run({0: (0, 70)}, [5, 69])
    torch.testing.assert_close(some, every[[5, 69]], rtol=0.02, atol=0.02)

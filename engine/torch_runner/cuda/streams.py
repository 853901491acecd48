"""Order and time on a device: what runs after what, and when the host may look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


class Mark(Protocol):
    """A place in the order of the device's work."""

    def wait(self) -> None:
        """Blocks until the device has come here. Raises RuntimeError if its work failed."""
        ...


class Streams(Protocol):
    """One stream that computes, and one beside it that brings results to the host."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def staging(self, items: int) -> torch.Tensor:
        """int64 [items] in host memory, from which copies to the device do not block. It may be dropped
        as soon as the copy is asked for."""
        ...

    def mark(self) -> Mark:
        """After all that was asked of the computing stream so far."""
        ...

    def seconds(self, began: Mark, ended: Mark) -> float:
        """Between two marks of the computing stream that the device has passed."""
        ...

    def fetch(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], Mark]:
        """Copies in host memory, complete once the mark is reached; the computing stream goes on."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Runs `work` and records it; what comes back does it again, on the same memory, at once."""
        ...


@dataclass(frozen=True, slots=True)
class CudaMark:
    """A CUDA event."""

    event: torch.cuda.Event

    def wait(self) -> None:
        """Blocks this thread, without the interpreter's lock."""
        self.event.synchronize()


class CudaStreams:
    """The current stream of one device, and a second one. For one thread."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._side = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def staging(self, items: int) -> torch.Tensor:
        """Pinned memory; torch's allocator hands it out again only when copies from it are over."""
        return torch.empty(items, dtype=torch.int64, pin_memory=True)

    def mark(self) -> CudaMark:
        """An event with a time."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return CudaMark(event)

    def seconds(self, began: Mark, ended: Mark) -> float:
        """By the device's own clock."""
        if not isinstance(began, CudaMark) or not isinstance(ended, CudaMark):
            raise TypeError("these marks are of other streams")
        return float(began.event.elapsed_time(ended.event)) / 1000.0

    def fetch(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], CudaMark]:
        """On the second stream, into pinned memory."""
        ready = torch.cuda.Event()
        ready.record()
        copies = tuple(torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in tensors)
        with torch.cuda.stream(self._side):
            self._side.wait_event(ready)
            for copy, tensor in zip(copies, tensors, strict=True):
                copy.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._side)  # its memory is not given to others before the copy
            landed = torch.cuda.Event()
            landed.record()
        return copies, CudaMark(landed)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """A CUDA graph. All graphs share their memory, so they are recorded from the largest down.
        Raises RuntimeError if the work cannot be recorded: it waits for the device."""
        warm = torch.cuda.Stream(self.device)
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            work()  # kernels are compiled and libraries initialised outside of the recording
        torch.cuda.current_stream().wait_stream(warm)
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads (transfers) may allocate meanwhile
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        return graph.replay

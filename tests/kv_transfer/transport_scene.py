"""The stage of the transport conformance suite: one reader, and sources that can be hurt."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.arena import Arena
from kv_transfer.transport import Transport
from protocol.messages import SourceFacts

Block = npt.NDArray[np.uint8]


def content(block: int, generation: int, size: int) -> Block:
    """What a source holds in a block of that generation: every byte tells both."""
    return ((np.arange(size) * 3 + block * 7 + generation * 31) % 251).astype(np.uint8)


def first_generation(block: int) -> int:
    """The generation a source begins with, another one for each block."""
    return block * 5 + 1


def fresh_arena(blocks: int, size: int) -> Arena:
    """A reader's arena: zeros."""
    return Arena(np.zeros((blocks, size), dtype=np.uint8), np.zeros(blocks, dtype=np.int64))


def source_arena(blocks: int, size: int) -> Arena:
    """A source's arena: `content` of the first generations."""
    generations = np.array([first_generation(block) for block in range(blocks)], dtype=np.int64)
    rows = [content(block, int(generations[block]), size) for block in range(blocks)]
    return Arena(np.stack(rows), generations)


class Source(Protocol):
    """A worker whose memory is read. Its process can be killed, hung and woken."""

    @property
    def facts(self) -> SourceFacts:
        """As it would tell a reader."""
        ...

    async def publish(self) -> tuple[int, ...]:
        """The generation of every block, at a moment when every block's content is of it."""
        ...

    async def reuse_blocks(self) -> None:
        """From now on it gives blocks to new owners: bumps a generation, then rewrites the block."""
        ...

    async def kill(self) -> None:
        """Its process dies."""
        ...

    async def hang(self) -> None:
        """Its process stops."""
        ...

    async def wake(self) -> None:
        """It goes on."""
        ...


class Scene(Protocol):
    """One reader and a way to start sources."""

    @property
    def reader(self) -> Transport:
        """The transport under test."""
        ...

    @property
    def arena(self) -> Arena:
        """Where it reads to."""
        ...

    @property
    def hung_sources_answer(self) -> bool:
        """Whether a stopped process can still be read, as when the reader copies by itself."""
        ...

    async def start_source(self, name: str, incarnation: str) -> Source:
        """A source with the reader's block size and number of blocks."""
        ...

    async def pause(self) -> None:
        """A moment between two polls, as a step would be."""
        ...

    async def linger(self) -> None:
        """Long enough for whatever still flies to land."""
        ...

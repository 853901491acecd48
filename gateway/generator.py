"""The seam between a door and what answers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from protocol.load_report import LoadReport
from protocol.messages import FinishReason, TokenLogprobs, WorkerRecord
from protocol.request import Request
from protocol.stamp import Stamp


class TokenEvent(msgspec.Struct, frozen=True):
    """New tokens of one request, in order, without gap or repeat. Of the cheapest kind, like Piece."""

    first_index: int
    """Position of tokens[0] among the generated ones."""
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]
    """Empty, or one per token."""
    finish: FinishReason | None
    cached_tokens: int
    """Prompt tokens whose KV was not computed for this request."""
    stamps: tuple[Stamp, ...] = ()
    """Phases measured so far by workers and by the gateway, on the event that completes them."""


class Generator(Protocol):
    """Answers requests. Closing the iterator early is how a client's disconnect is told."""

    def generate(self, request: Request) -> AsyncGenerator[TokenEvent, None]:
        """Events until one has `finish` set. Raises one BatonError instead if it cannot end well."""
        ...


class FleetView(Protocol):
    """What the gateway sees of the workers, for /metrics, /ready and `baton status`."""

    def workers(self) -> tuple[tuple[WorkerRecord, LoadReport | None], ...]:
        """Every linked worker with its last report."""
        ...

    def ready(self) -> bool:
        """Whether a request can be answered now."""
        ...

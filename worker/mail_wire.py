"""Bounds of the batches of mail that travel between the I/O process and the engine process, as pieces of
msgpack (protocol/splitter.py)."""

from __future__ import annotations

from protocol.limits import Limits


def batch_limit(limits: Limits) -> int:
    """Bytes of one batch: a frame of the largest size, wrapped, must fit."""
    return 2 * limits.max_frame_bytes


def backlog_limit(limits: Limits) -> int:
    """Bytes that may wait for the other process, either way."""
    return 4 * limits.max_frame_bytes

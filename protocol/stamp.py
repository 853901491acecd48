"""Where the time of a request went."""

from __future__ import annotations

from enum import Enum

from protocol.wire_struct import Struct


class Phase(Enum):
    """A part of a request's life, measured where it happens."""

    DOOR = "door"
    """From the last byte of the request until it was validated and tokenised."""
    QUEUE = "queue"
    """From the door until a plan was tried that held: the wait for a place."""
    PLAN = "plan"
    """The router's own time for that plan."""
    RESERVE = "reserve"
    """The decode worker's answer."""
    PREFIX_PULL = "prefix_pull"
    """From the prompt's arrival at the worker that computes it until its prefix had come from elsewhere."""
    PREFILL_QUEUE = "prefill_queue"
    PREFILL = "prefill"
    FIRST = "first_token"
    """The ways of the commands and of the first token: what no other phase took up to its arrival."""
    TRANSFER = "transfer"
    """From the first token until the decode worker held all KV."""
    DECODE_QUEUE = "decode_queue"
    DECODE = "decode"
    """From there to the arrival of the last token."""
    FLUSH = "flush"
    """What the door took to write it all: to the last byte."""


class Stamp(Struct):
    """Seconds that one phase took on the worker's own clock."""

    phase: Phase
    seconds: float

"""Where a call's time went, for a client that asks with a header."""

from __future__ import annotations

from gateway.door.call import Call
from gateway.door.usage import Json
from gateway.door.voice import Voice

TIMING_HEADER = "x-baton-timing"


def timing_json(call: Call, voice: Voice) -> Json:
    """Seconds by phase, `door` being parsing and tokenizing; time to first token; pace after it."""
    return {
        "timing": {"door": call.built - call.arrival, **voice.phases},
        "ttft_s": None if voice.first_s is None else voice.first_s - call.arrival,
        "tokens_per_s": voice.tokens_per_s(),
    }

"""`baton status`: the gateway's view, as a table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cluster.status_view import fetch_status, status_table
from protocol.errors import BatonError
from tests.cluster.openai_stub import answering

STATUS = b"""{"ready": true, "model": "m", "max_model_len": 8192, "more": 1, "pools": [
{"role": "decode", "workers": [{"worker": "decode-0", "incarnation": "x", "address": "127.0.0.1:9",
"block_size": 16, "total_blocks": 8, "load": {"running": 1, "waiting": 2, "queued_tokens": 0,
"total_blocks": 8, "free_blocks": 6, "held_blocks": {"cache": 3}, "steps": 1, "step_s": 0.1,
"prefill_tokens_per_s": 1.0, "counters": {"transferred_blocks": 7}}},
{"worker": "decode-1", "incarnation": "x", "address": "127.0.0.1:8", "block_size": 16,
"total_blocks": 8, "load": null}]}]}"""


def test_table_shows_each_worker() -> None:
    """Every worker has its row; one that has not reported yet is shown as unknown."""
    with answering(200, STATUS) as stub:
        status = fetch_status(stub.endpoint)
    out = io.StringIO()
    Console(file=out, width=120).print(status_table(status))
    rows = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert rows[1] == "decode decode-0 127.0.0.1:9 1 2 2/8 blocks (25%) 3 7"
    assert rows[2] == "decode decode-1 127.0.0.1:8 ? ? ? ? ?"


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"{}"), (200, b"<html>")])
def test_foreign_answer_is_one_sentence(status: int, body: bytes) -> None:
    """Whatever else listens there, the answer is one BatonError."""
    with answering(status, body) as stub, pytest.raises(BatonError):
        fetch_status(stub.endpoint)

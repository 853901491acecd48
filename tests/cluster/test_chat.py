"""`baton chat`: what it asks, what it shows, and how it fails."""

from __future__ import annotations

import json

import pytest

from cluster.chat import Chat, footer, phases
from cluster.chat_turn import ChatTurn, Message
from cluster.run_folder import RunState
from cluster.screen import Screen
from protocol.errors import BatonError, Overloaded
from tests.cluster.openai_stub import answering

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
TIMING = {"timing": {"door": 0.001, "prefill": 0.02, "transfer": 0.003}, "ttft_s": 0.03, "tokens_per_s": 50.0}


def chunk(text: str | None = None, **more: object) -> str:
    """One chunk of a stream."""
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    return json.dumps({"id": "x", "choices": choices, "usage": None, **more})


def stream(*events: str) -> bytes:
    """Server-sent events."""
    return "".join(f"data: {event}\n\n" for event in events).encode()


WHOLE = stream(chunk("Hel"), chunk("lo", baton=TIMING), chunk(usage=USAGE), "[DONE]")


def turn(endpoint: str) -> ChatTurn:
    """A turn to that server."""
    return ChatTurn(endpoint, "m", max_tokens=5, temperature=0.0)


def test_text_comes_in_pieces_then_its_cost() -> None:
    """A stream gives its pieces of text in order, and afterwards usage and times."""
    with answering(200, WHOLE) as stub:
        asked = turn(stub.endpoint)
        assert list(asked.text([Message("user", "hi")])) == ["Hel", "lo"]
    assert stub.headers[0]["x-baton-timing"] == "1"
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert asked.usage is not None
    assert asked.usage.prompt_tokens_details.cached_tokens == 4
    assert asked.timing is not None
    assert footer(asked) == (
        "first token 30 ms (door 1.0 ms, prefill 20 ms, other 9.0 ms; then transfer 3.0 ms) · "
        "50 tokens/s · prompt 9 tokens, 4 cached · answer 2 tokens"
    )


def test_second_turn_carries_the_first() -> None:
    """The conversation is sent whole, so that the model knows what was said."""
    state = RunState(pid=1, run_id="", endpoint="", model="m", ready=True)
    with answering(200, WHOLE) as stub:
        chat = Chat(
            RunState(1, "", stub.endpoint, state.model, ready=True), Screen(), 5, 0.0, system="Be brief."
        )
        chat.say("one")
        chat.say("two")
    assert [message["content"] for message in stub.bodies[1]["messages"]] == [  # type: ignore[attr-defined]
        "Be brief.",
        "one",
        "Hello",
        "two",
    ]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b'{"error": {"message": "no place", "code": "overloaded"}}', "answered 503: no place"),
        (502, b"<html>", "answered 502: <html>"),
        (200, stream(chunk("Hel")), "connection broke before the answer was complete"),
        (200, b"data: {\n\n", "something else than a chat chunk"),
    ],
)
def test_failure_is_one_sentence(status: int, body: bytes, message: str) -> None:
    """A refused call, a broken stream and a foreign server each give one BatonError."""
    with answering(status, body) as stub, pytest.raises(BatonError, match=message):
        list(turn(stub.endpoint).text([Message("user", "hi")]))


def test_error_within_the_stream_keeps_its_kind() -> None:
    """An error that comes after the first tokens is the typed error that the gateway sent."""
    broken = stream(chunk("Hel"), '{"error": {"message": "gone", "code": "overloaded"}}')
    with answering(200, broken) as stub, pytest.raises(Overloaded, match="gone"):
        list(turn(stub.endpoint).text([Message("user", "hi")]))


def test_nobody_listens() -> None:
    """A gateway that is gone is one sentence, not a traceback."""
    with pytest.raises(BatonError, match="does not answer"):
        list(turn("http://127.0.0.1:1").text([Message("user", "hi")]))


def test_phases_never_show_a_negative_rest() -> None:
    """Phases of two clocks may add up to more than the whole; then nothing is left over."""
    assert phases({"prefill": 0.02}, ttft_s=0.019) == "prefill 20 ms"

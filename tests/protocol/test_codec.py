"""The wire codec: closed, size-limited, and never surprised by bytes."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import Codec, frame_codec
from protocol.errors import WireError
from protocol.ids import TransferId
from protocol.mail import (
    EngineInbox,
    EngineOutbox,
    Outbound,
    Sealed,
    inbox_codec,
    news_codec,
    outbox_codec,
)
from protocol.messages import Frame, Release, Renew
from tests.protocol.wire_values import values_of

LIMIT = 1 << 16
CODEC = frame_codec(LIMIT)
KINDS: tuple[type, ...] = typing.get_args(Frame)
FRAMES = values_of(Frame)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_frame_comes_back_as_it_was(kind: type) -> None:
    """encode, decode: the same value of the same type, for every frame of the union."""

    @settings(max_examples=25)
    @given(values_of(kind))
    def comes_back(frame: Frame) -> None:
        back = CODEC.decode(CODEC.encode(frame))
        assert type(back) is kind
        assert back == frame

    comes_back()


@given(values_of(list[EngineInbox]), values_of(list[EngineOutbox]))
def test_mail_comes_back_as_it_was(inbox: list[EngineInbox], outbox: list[EngineOutbox]) -> None:
    """Batches between the I/O process and the engine process survive in both directions."""
    to_engine, from_engine = inbox_codec(LIMIT), outbox_codec(LIMIT)
    assert to_engine.decode(to_engine.encode(inbox)) == inbox
    assert from_engine.decode(from_engine.encode(outbox)) == outbox
    for sent, read in zip(outbox, news_codec(LIMIT).decode(from_engine.encode(outbox)), strict=True):
        if isinstance(sent, Outbound):
            assert isinstance(read, Sealed) and read.peer == sent.peer
            assert CODEC.decode(CODEC.encode(read.frame)) == sent.frame
        else:
            assert read == sent


@settings(max_examples=500)
@given(st.binary(max_size=64))
def test_random_bytes_are_a_wire_error(data: bytes) -> None:
    """Bytes from a peer give a frame or a WireError, nothing else."""
    _decode_or_wire_error(CODEC, data)


@settings(max_examples=500)
@given(FRAMES, st.data())
def test_damaged_frames_are_a_wire_error(frame: Frame, data: st.DataObject) -> None:
    """A frame with bytes changed, cut off or added gives a frame or a WireError, nothing else."""
    good = CODEC.encode(frame)
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 8)))
    _decode_or_wire_error(CODEC, good[:start] + data.draw(st.binary(max_size=8)) + good[end:])


def test_text_that_is_not_utf8_is_a_wire_error() -> None:
    """A string of broken UTF-8 inside an otherwise good frame is the peer's fault, and typed so."""
    good = CODEC.encode(Release(TransferId("a")))
    with pytest.raises(WireError):
        CODEC.decode(good.replace(b"\xa1a", b"\xa1\xff"))


def test_unknown_tag_is_a_wire_error() -> None:
    """The union is closed."""
    with pytest.raises(WireError):
        CODEC.decode(msgspec.msgpack.encode(["Surprise", "a"]))


def test_extra_field_is_a_wire_error() -> None:
    """A frame of a later version is refused, not half understood."""
    with pytest.raises(WireError):
        CODEC.decode(msgspec.msgpack.encode(["Release", "a", 1]))


def test_missing_and_mistyped_fields_are_wire_errors() -> None:
    """Nothing is filled in or converted."""
    for wrong in (["Release"], ["Release", 1], ["Join", ["r", 0], "1"], ["Join", ["r", 0], 1.0], None, 7):
        with pytest.raises(WireError):
            CODEC.decode(msgspec.msgpack.encode(wrong))


def test_bytes_after_a_frame_are_a_wire_error() -> None:
    """One message is one frame."""
    with pytest.raises(WireError):
        CODEC.decode(CODEC.encode(Release(TransferId("a"))) + b"\x00")


def test_length_beyond_the_data_reserves_no_memory() -> None:
    """An array that claims four billion items is refused before anything is allocated for it."""
    start = CODEC.encode(Renew(()))[:-1]
    for claim in (b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdd\x7f\xff\xff\xff\xa1a"):
        with pytest.raises(WireError):
            CODEC.decode(start + claim)


def test_size_limit_holds_both_ways() -> None:
    """Exactly the limit passes; one byte more is a WireError, before a byte of it is parsed or sent."""
    frame = Release(TransferId("x" * 40))
    size = len(CODEC.encode(frame))
    assert frame_codec(size).decode(frame_codec(size).encode(frame)) == frame
    tight = frame_codec(size - 1)
    with pytest.raises(WireError):
        tight.encode(frame)
    with pytest.raises(WireError):
        tight.decode(b"\xc1" * size)


def _decode_or_wire_error(codec: Codec[Frame], data: bytes) -> None:
    try:
        frame = codec.decode(data)
    except WireError:
        return
    again = codec.encode(frame)
    assert codec.encode(codec.decode(again)) == again

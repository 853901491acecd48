"""How far a request can have come on a decode worker, and ways to get there."""

from __future__ import annotations

from collections.abc import Callable

from protocol.mail import PeerId
from protocol.messages import Refused
from protocol.request import Assignment
from tests.decode_worker.decode_bench import (
    GATEWAY,
    DecodeBench,
)


def reserved(bench: DecodeBench, told: Assignment) -> None:
    """Nothing has come."""
    bench.reserve(told)
    bench.sent()


def reading(bench: DecodeBench, told: Assignment) -> None:
    """Reads are in flight."""
    reserved(bench, told)
    bench.serve(told)
    bench.role.before_plan(0.0)


def joined(bench: DecodeBench, told: Assignment) -> None:
    """The first token is here, the KV is not."""
    reading(bench, told)
    bench.join(told)


def verifying(bench: DecodeBench, told: Assignment) -> None:
    """The generations are being read."""
    reading(bench, told)
    bench.transport.land_all()
    bench.role.before_plan(0.0)


def verified(bench: DecodeBench, told: Assignment) -> None:
    """The KV is here, the first token is not."""
    reserved(bench, told)
    bench.arrive(told)


def adopted(bench: DecodeBench, told: Assignment) -> None:
    """Both are here; no step has run."""
    verified(bench, told)
    bench.join(told)


def running(bench: DecodeBench, told: Assignment) -> None:
    """Tokens flow."""
    adopted(bench, told)
    bench.turn()
    bench.sent()


def preempted(bench: DecodeBench, told: Assignment) -> None:
    """In the batch once, and waiting since."""
    adopted(bench, told)
    bench.engine._preempt(bench.engine.running[0])


def queued(bench: DecodeBench, told: Assignment) -> None:
    """To be computed here, not begun."""
    bench.compute(told)
    bench.sent()


Stage = Callable[[DecodeBench, Assignment], None]
STAGES: tuple[Stage, ...] = (
    reserved,
    reading,
    joined,
    verifying,
    verified,
    adopted,
    running,
    preempted,
    queued,
)
IN_FLIGHT = (reading, joined, verifying)


def refusal(bench: DecodeBench, peer: PeerId = GATEWAY) -> str:
    """The code of the only answer."""
    (refused,) = bench.sent(peer)
    assert isinstance(refused, Refused)
    return refused.code

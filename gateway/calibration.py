"""How far predictions were from what happened."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.record import Record
from protocol.stamp import Phase

UNTIL_FIRST = (Phase.RESERVE, Phase.PREFIX_PULL, Phase.PREFILL_QUEUE, Phase.PREFILL, Phase.FIRST)


def ways_of(record: Record) -> float | None:
    """Seconds up to the first token that belong to no worker; None if the request does not tell."""
    if not _tells(record):
        return None
    return record.phases.get(Phase.RESERVE, 0.0) + record.phases.get(Phase.FIRST, 0.0)


def predictions(record: Record) -> Iterator[tuple[Phase, float, float]]:
    """(phase, predicted, measured) in seconds; nothing of a request that does not tell. FIRST stands for all
    from the plan to the first token, DECODE for all after the transfer."""
    note = record.placed
    if note is None or not _tells(record):
        return
    forecast, measured = note.forecast, record.phases
    if note.plan.source is not None:
        yield Phase.PREFIX_PULL, forecast.pull_s, measured.get(Phase.PREFIX_PULL, 0.0)
    yield Phase.PREFILL_QUEUE, forecast.queue_s, measured.get(Phase.PREFILL_QUEUE, 0.0)
    yield Phase.PREFILL, forecast.prefill_s, measured.get(Phase.PREFILL, 0.0)
    yield Phase.FIRST, forecast.first_token_s, sum(measured.get(phase, 0.0) for phase in UNTIL_FIRST)
    if record.generated_tokens == 1:
        return
    if note.plan.prefill is not None:
        yield Phase.TRANSFER, forecast.transfer_s, measured.get(Phase.TRANSFER, 0.0)
    decode_s = measured.get(Phase.DECODE_QUEUE, 0.0) + measured.get(Phase.DECODE, 0.0)
    yield Phase.DECODE, forecast.token_s * (record.generated_tokens - 1), decode_s


def _tells(record: Record) -> bool:
    """Whether it needed one attempt and finished: of others nobody knows which part of a phase was whose."""
    return record.state == "finished" and record.attempts == 1

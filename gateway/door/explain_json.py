"""What became of one call, as JSON: plans with their predicted seconds, and what really happened."""

from __future__ import annotations

from gateway.attempt_note import AttemptNote
from gateway.door.call_log import CallNote
from gateway.door.usage import Json
from gateway.record import Record
from protocol.ids import WorkerIdentity
from protocol.stamp import Phase
from router.plan_forecast import PlanForecast
from router.route_plan import RoutePlan


def explain_json(note: CallNote, records: list[Record]) -> Json:
    """All times in seconds. The phases of a sequence add up to its `seconds`, those of the door included."""
    return {
        "id": note.id,
        "object": "request.explanation",
        "request_id": note.request_id,
        "ended": note.ended is not None,
        "sequences": [_sequence(note, record) for record in records],
    }


def _sequence(note: CallNote, record: Record) -> Json:
    phases = {phase.value: seconds for phase, seconds in record.phases.items()}
    phases[Phase.DOOR.value] = record.arrived_at - note.received
    until = record.arrived_at + record.seconds
    if note.ended is not None:
        phases[Phase.FLUSH.value] = note.ended - until
        until = note.ended
    placed = record.placed
    return {
        "id": record.id,
        "state": record.state,
        "session": record.session,
        "seconds": until - note.received,
        "phases": phases,
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "generated_tokens": record.generated_tokens,
        "plan": None if placed is None else _plan(placed.plan),
        "predicted": None if placed is None else _forecast(placed.forecast),
        "runners_up": [] if placed is None else [_plan(plan) for plan in placed.runners_up],
        "attempts": record.attempts,
        "last_attempts": [_attempt(one) for one in record.notes],
    }


def _attempt(note: AttemptNote) -> Json:
    return {
        "attempt": note.number,
        "after": note.tried_s,
        "decode": note.plan.decode.worker,
        "prefill": _name(note.plan.prefill),
        "source": _name(note.plan.source),
        "placed": note.placed,
        "lost": None
        if note.loss is None
        else {"code": note.loss.code, "message": note.loss.message, "worker": _name(note.failed_at)},
    }


def _plan(plan: RoutePlan) -> Json:
    return {
        "decode": plan.decode.worker,
        "prefill": _name(plan.prefill),
        "source": _name(plan.source),
        "held_tokens": plan.held_tokens,
        "pulled_tokens": plan.pulled_tokens,
        "computed_tokens": plan.missing_tokens,
        "first_token": plan.first_token_s,
        "cost": plan.cost_s,
    }


def _forecast(forecast: PlanForecast) -> Json:
    return {
        Phase.PREFIX_PULL.value: forecast.pull_s,
        Phase.PREFILL_QUEUE.value: forecast.queue_s,
        Phase.PREFILL.value: forecast.prefill_s,
        Phase.TRANSFER.value: forecast.transfer_s,
        "until_first_token": forecast.first_token_s,
        "decode_a_token": forecast.token_s,
    }


def _name(worker: WorkerIdentity | None) -> str | None:
    return None if worker is None else worker.worker

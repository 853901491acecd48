"""The one tree of errors.

BatonError
├── InvalidRequest            400  the client can mend it
│   ├── ContextOverflow       400  prompt + max_tokens > context
│   ├── UnknownModel          404
│   └── NotOffered            400  a feature Baton refuses by name
├── Overloaded                503  no place in time; a retry helps
│   ├── TenantOverloaded      429  the tenant has more than its share of what is full
│   └── Busy                  503  one worker has no room: the router tries the next plan
├── DeadlineExceeded          504  the client's deadline passed
├── WorkerLost                503  a worker or its link went away: planned again
│   ├── LinkClosed            503
│   ├── WorkerLeaving         503  a worker is being drained: planned elsewhere, at no charge
│   └── Stale                 503  KV was reused, or belongs to another incarnation
├── TransferFailed            503  a KV read failed: the prompt is recomputed
│   └── TransferNeedless      503  the first token ended the request: nobody needs its KV
├── RetriesSpent              503  every re-plan failed
├── EngineFailed              500  a step raised: the engine process ends
├── Quarantined               500  the request itself ends engines: it was alone in a step that did
├── WireError                 500  bytes that are not a frame, or one of another version
├── UnsupportedModel          500  the load gate's answer: wrong logits never leave it
└── InvalidSpec               500  the operator's document is wrong

Each error knows its HTTP status, its gRPC status name, the OpenAI `type` and `code`
and whether the same request may succeed when it is sent again.
"""

from __future__ import annotations

from typing import ClassVar


class BatonError(Exception):
    """Root of the tree. `message` is meant for the person who can mend it."""

    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry_helps: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(BatonError):
    """The request itself is wrong; sending it again cannot help."""

    http_status = 400
    grpc_status = "INVALID_ARGUMENT"
    kind = "invalid_request_error"
    code = "invalid_request"


class ContextOverflow(InvalidRequest):
    """Prompt and max_tokens together exceed the context."""

    code = "context_length_exceeded"


class UnknownModel(InvalidRequest):
    """No such model is served here."""

    http_status = 404
    grpc_status = "NOT_FOUND"
    code = "model_not_found"


class NotOffered(InvalidRequest):
    """A feature that Baton refuses by name."""

    code = "unsupported_feature"


class Overloaded(BatonError):
    """No place became free in time."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    kind = "service_unavailable"
    code = "overloaded"
    retry_helps = True


class TenantOverloaded(Overloaded):
    """There would be a place, but not for this tenant: others have less than their share."""

    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"


class Busy(Overloaded):
    """One worker has no room now."""

    code = "worker_busy"


class DeadlineExceeded(BatonError):
    """The request's own deadline passed."""

    http_status = 504
    grpc_status = "DEADLINE_EXCEEDED"
    kind = "timeout"
    code = "deadline_exceeded"


class WorkerLost(BatonError):
    """A worker, or the way to it, is gone."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    kind = "service_unavailable"
    code = "worker_lost"
    retry_helps = True


class LinkClosed(WorkerLost):
    """The link to a peer ended or fell silent."""

    code = "link_closed"


class WorkerLeaving(WorkerLost):
    """A worker is being drained: it takes nothing new, and what it had goes on elsewhere."""

    code = "worker_leaving"


class Stale(WorkerLost):
    """KV that was named has another owner by now."""

    code = "stale_kv"


class TransferFailed(BatonError):
    """A KV read did not complete, or may not begin."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    kind = "service_unavailable"
    code = "transfer_failed"
    retry_helps = True


class TransferNeedless(TransferFailed):
    """The first token ended the request, so its source withdrew the KV: nothing was lost."""

    code = "transfer_needless"


class RetriesSpent(BatonError):
    """Every re-plan of the request failed."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    kind = "service_unavailable"
    code = "retries_spent"
    retry_helps = True


class EngineFailed(BatonError):
    """A step raised: the engine process ends and is replaced, never repaired."""

    code = "engine_failed"
    retry_helps = True


class Quarantined(BatonError):
    """Engines died computing this very request and nothing else: it is not tried again."""

    code = "request_quarantined"


class WireError(BatonError):
    """Bytes from a peer that are not a frame of this version."""

    code = "wire_error"


class UnsupportedModel(BatonError):
    """The model folder cannot be served; the message says why."""

    code = "unsupported_model"


class InvalidSpec(BatonError):
    """The operator's document is wrong; the message names the key."""

    code = "invalid_spec"


def _tree(root: type[BatonError]) -> tuple[type[BatonError], ...]:
    found: list[type[BatonError]] = [root]
    for child in root.__subclasses__():
        found.extend(_tree(child))
    return tuple(found)


def error_from_code(code: str, message: str, retry_after_s: float | None = None) -> BatonError:
    """Rebuilds an error that travelled as its code. An unknown code is a plain BatonError."""
    for kind in _tree(BatonError):
        if kind.code == code:
            return kind(message, retry_after_s=retry_after_s)
    return BatonError(f"{code}: {message}")

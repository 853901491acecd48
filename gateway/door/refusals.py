"""What only HTTP can get wrong. These extend the one tree: they have a status there, and no other use."""

from __future__ import annotations

from protocol.errors import InvalidRequest


class UnknownPath(InvalidRequest):
    """No such path."""

    http_status = 404
    grpc_status = "UNIMPLEMENTED"
    code = "unknown_path"


class UnknownRequest(InvalidRequest):
    """No such request is remembered, or it is another tenant's."""

    http_status = 404
    grpc_status = "NOT_FOUND"
    code = "request_not_found"


class WrongMethod(InvalidRequest):
    """The path is known, the verb is not for it."""

    http_status = 405
    grpc_status = "UNIMPLEMENTED"
    code = "method_not_allowed"


class SlowBody(InvalidRequest):
    """The body did not come in time."""

    http_status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    kind = "timeout"
    code = "request_timeout"


class PastDeadline(InvalidRequest):
    """The client's own deadline has passed before it asked."""

    http_status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    kind = "timeout"
    code = "past_deadline"


class BodyTooLarge(InvalidRequest):
    """More bytes than `Limits.max_body_bytes`."""

    http_status = 413
    code = "body_too_large"


class UrlTooLong(InvalidRequest):
    """More bytes than `Limits.max_url_bytes`."""

    http_status = 414
    code = "url_too_long"


class NotJson(InvalidRequest):
    """The content type is not application/json."""

    http_status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(InvalidRequest):
    """More bytes than `Limits.max_header_bytes`."""

    http_status = 431
    code = "headers_too_large"

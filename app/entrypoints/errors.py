"""Failures into answers: one table for every way in."""

from typing import Final

import msgspec

from ..domain.errors import (
    AudioRejectedError,
    AudioTooLongError,
    AudioTooShortError,
    DeadlineError,
    FileTooLargeError,
    InvalidRequestError,
    ModelNotReadyError,
    OverloadedError,
    RateLimitedError,
    SlowUploadError,
    SpeechError,
    UnknownModelError,
    UnsupportedValueError,
)


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, in OpenAI's words; `param` names the field that caused it."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's error envelope."""

    error: ErrorDetail


class Row(msgspec.Struct, frozen=True):
    """A line of the table: the HTTP status, and what goes into the envelope."""

    status: int
    type: str
    code: str
    param: str | None = None


INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
INTERNAL: Final = Row(500, SERVER, "internal_error")
NOT_FOUND: Final = Row(404, INVALID, "not_found")
BAD_KEY: Final = Row(401, INVALID, "invalid_api_key")
RATE_LIMITED: Final = Row(429, "rate_limit_error", "rate_limit_exceeded")
FOREIGN_ORIGIN: Final = Row(403, INVALID, "origin_not_allowed")  # of WebSockets alone, where a browser asks nobody beforehand
IDLE: Final = Row(408, INVALID, "idle_timeout")
LARGE_MESSAGE: Final = Row(413, INVALID, "message_too_large")  # of WebSockets
_LONGEST_TOLD: Final = 500  # characters
_ROWS: Final[dict[type[SpeechError], Row]] = {
    InvalidRequestError: Row(400, INVALID, "invalid_value"),
    UnsupportedValueError: Row(400, INVALID, "unsupported_value"),
    AudioRejectedError: Row(400, INVALID, "invalid_value", "file"),
    AudioTooShortError: Row(400, INVALID, "audio_too_short", "file"),
    AudioTooLongError: Row(400, INVALID, "audio_too_long", "file"),
    FileTooLargeError: Row(413, INVALID, "file_too_large", "file"),
    SlowUploadError: Row(408, INVALID, "request_timeout"),
    UnknownModelError: Row(404, INVALID, "model_not_found", "model"),
    OverloadedError: Row(503, SERVER, "overloaded"),
    DeadlineError: Row(503, SERVER, "overloaded"),
    ModelNotReadyError: Row(503, SERVER, "not_ready"),
    RateLimitedError: RATE_LIMITED,
    SpeechError: INTERNAL,
}


def row_of(failure: SpeechError) -> Row:
    """Return the row of the nearest listed ancestor."""
    return next(_ROWS[cls] for cls in type(failure).__mro__ if cls in _ROWS)


def body_of(row: Row, message: str, *, param: str | None = None) -> ErrorBody:
    """Return the envelope; `param` goes before the row's own."""
    shown = shortened(param) if param else row.param
    return ErrorBody(error=ErrorDetail(message=shortened(message), type=row.type, param=shown, code=row.code))


def shortened(text: str) -> str:
    """Return as much of a text as is told: parts of it may be the client's own, and of any length."""
    return text if len(text) <= _LONGEST_TOLD else text[: _LONGEST_TOLD - 1] + "\N{HORIZONTAL ELLIPSIS}"


def body_of_failure(failure: SpeechError) -> ErrorBody:
    """Return the envelope for a failure; its text was written for the client."""
    field = failure.field if isinstance(failure, InvalidRequestError) else None
    return body_of(row_of(failure), str(failure), param=field)


def internal_body() -> ErrorBody:
    """Return the envelope for what nobody foresaw; the cause goes to the log and never to the client."""
    return body_of(INTERNAL, "the service failed; the log tells more")

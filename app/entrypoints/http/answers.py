"""Failures of the framework and of ours into OpenAI's envelope."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import ExceptionHandlersMap

from ...domain.errors import CancelledError, SpeechError, UnavailableError
from ..errors import (
    BAD_KEY,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    RATE_LIMITED,
    SERVER,
    ErrorBody,
    Row,
    body_of,
    body_of_failure,
    internal_body,
    row_of,
)
from .requests import note

log = structlog.stdlib.get_logger()

AnyRequest = Request[Any, Any, State]
_LATER: Final = frozenset({429, 503})  # the same request may succeed later
_RETRIED: Final = _LATER | {408}  # or at once, on a better connection
_RETRY_AFTER_S: Final = 1  # where whoever refused named no time
_KEPT_HEADERS: Final = frozenset({"allow", "retry-after"})
_FRAMEWORK_ROWS: Final = {
    row.status: row
    for row in (
        BAD_KEY,
        NOT_FOUND,
        Row(405, INVALID, "method_not_allowed"),
        Row(406, INVALID, "not_acceptable"),
        Row(413, INVALID, "file_too_large", "file"),
        Row(415, INVALID, "unsupported_media_type"),
        RATE_LIMITED,
        Row(503, SERVER, "overloaded"),
    )
}


def error_answer(row: Row, body: ErrorBody, headers: Mapping[str, str] | None = None) -> Response[ErrorBody]:
    """Make an answer, with the headers that its status calls for.

    OpenAI's clients repeat what got a 408, 409, 429 or 5xx, up to twice, unless `x-should-retry` is `false`. Ours of 500
    comes again with the same file: it would only cost three times the work.
    """
    told = dict(headers or {})
    if row.status in _LATER:
        told.setdefault("retry-after", str(_RETRY_AFTER_S))
    if row.status not in _RETRIED:
        told["x-should-retry"] = "false"
    if row.status == BAD_KEY.status:
        told["www-authenticate"] = "Bearer"
    return Response(body, status_code=row.status, headers=told, media_type="application/json")


def answer_speech_error(_request: AnyRequest, failure: SpeechError) -> Response[ErrorBody]:
    """Answer a failure raised on purpose."""
    row = row_of(failure)
    if row is INTERNAL and not isinstance(failure, CancelledError):
        log.error("request_failed", exc_info=failure)
    note(error=row.code)
    headers = {"retry-after": str(failure.retry_after_s)} if isinstance(failure, UnavailableError) else {}
    return error_answer(row, body_of_failure(failure), headers)


def answer_http_exception(request: AnyRequest, failure: HTTPException) -> Response[ErrorBody]:
    """Answer what the framework refuses; a 422 of its own is a 400 here, and a 5xx but 503 is our fault."""
    status = 400 if failure.status_code == 422 else failure.status_code
    if status >= 500 and status not in _FRAMEWORK_ROWS:
        return answer_any(request, failure)
    row = _FRAMEWORK_ROWS.get(status) or Row(status, INVALID, "invalid_value")
    told, param = _fault(failure)
    if row is NOT_FOUND:
        told = f"there is nothing at {request.method} {request.scope['path'][:200]}"
    note(error=row.code)
    headers = {name.lower(): value for name, value in (failure.headers or {}).items() if name.lower() in _KEPT_HEADERS}
    return error_answer(row, body_of(row, told, param=param), headers)


def answer_any(_request: AnyRequest, failure: Exception) -> Response[ErrorBody]:
    """Answer what nobody foresaw; the cause goes to the log and never to the client."""
    log.error("request_failed", exc_info=failure)
    note(error=INTERNAL.code)
    return error_answer(INTERNAL, internal_body())


def refuse_page(answer: Response[Any]) -> Response[Any]:
    """Turn the page Litestar answers below its API document into the refusal of every other unknown path.

    Raises:
        NotFoundException: The answer is such a page.
    """
    if answer.status_code == NOT_FOUND.status:
        raise NotFoundException
    return answer


def _fault(failure: HTTPException) -> tuple[str, str | None]:
    """Return what is wrong, and the name of the field it is wrong with if the framework tells."""
    match failure.extra:
        case [{"message": str(message), "key": str(key)}, *_]:
            return f"`{key}`: {message}", key
        case _:
            return failure.detail, None


HANDLERS: Final[ExceptionHandlersMap] = {
    SpeechError: answer_speech_error,
    HTTPException: answer_http_exception,
    Exception: answer_any,
}

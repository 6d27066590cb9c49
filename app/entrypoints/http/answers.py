"""Failures of the framework and of ours into OpenAI's envelope."""

from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from ...domain.errors import CancelledError, SpeechError, UnavailableError
from ..errors import INTERNAL, INVALID, NOT_FOUND, SERVER, ErrorBody, Row, body_of, body_of_failure, row_of

log = structlog.stdlib.get_logger()

AnyRequest = Request[Any, Any, State]
_CODES: Final = {
    401: "invalid_api_key",
    404: NOT_FOUND.code,
    405: "method_not_allowed",
    413: "file_too_large",
    415: "unsupported_media_type",
}


def answer_speech_error(_request: AnyRequest, failure: SpeechError) -> Response[ErrorBody]:
    """Answer a failure raised on purpose."""
    row = row_of(failure)
    if row is INTERNAL and not isinstance(failure, CancelledError):
        log.error("request_failed", exc_info=failure)
    structlog.contextvars.bind_contextvars(error=row.code)
    headers = {"retry-after": str(failure.retry_after_s)} if isinstance(failure, UnavailableError) else {}
    return Response(body_of_failure(failure), status_code=row.status, headers=headers, media_type="application/json")


def answer_http_exception(request: AnyRequest, failure: HTTPException) -> Response[ErrorBody]:
    """Answer what the framework refuses; a 422 of its own is a 400 here."""
    status = 400 if failure.status_code == 422 else failure.status_code
    if status >= 500:
        return answer_any(request, failure)
    told = f"there is nothing at {request.method} {request.url.path[:200]}" if status == 404 else failure.detail
    row = Row(status, INVALID, _CODES.get(status, "invalid_value"))
    headers = {name: value for name, value in (failure.headers or {}).items() if name.lower() == "allow"}
    return Response(body_of(row, told), status_code=status, headers=headers, media_type="application/json")


def answer_any(_request: AnyRequest, failure: Exception) -> Response[ErrorBody]:
    """Answer what nobody foresaw; the cause goes to the log and never to the client."""
    log.error("request_failed", exc_info=failure)
    structlog.contextvars.bind_contextvars(error=INTERNAL.code)
    row = Row(INTERNAL.status, SERVER, INTERNAL.code)
    return Response(body_of(row, "the service failed; the log tells more"), status_code=row.status, media_type="application/json")


HANDLERS: Final[ExceptionHandlersMap] = {
    SpeechError: answer_speech_error,
    HTTPException: answer_http_exception,
    Exception: answer_any,
}

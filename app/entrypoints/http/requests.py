"""What is done for every request: an id in and out, and one event in the log when it is over."""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Final

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.stdlib.get_logger()

REQUEST_ID: Final = "x-request-id"
_USABLE_ID: Final = re.compile(r"(?a)[\w.:-]{1,128}")  # anything else of a client's is not repeated in headers and logs
_QUIET_PATHS: Final = frozenset({"/healthz", "/readyz"})  # asked every few seconds by whatever watches us


_facts: Final[ContextVar[dict[str, object]]] = ContextVar("facts")


def note(**facts: object) -> None:
    """Add facts to the event that ends this request; for whoever works on it, in whatever task."""
    _facts.get({}).update(facts)


def noted() -> Mapping[str, object]:
    """Return what was noted of this request so far."""
    return _facts.get({})


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, dict[str, object]]:
    """Bind `request_id` for every event from here on.

    Returns:
        The id, which is the client's own if that is usable; and what `note` will add facts to.
    """
    offered = next((value.decode("latin-1") for name, value in headers if name == REQUEST_ID.encode()), "")
    request_id = offered if _USABLE_ID.fullmatch(offered) else f"req_{uuid.uuid4().hex}"
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    facts: dict[str, object] = {}
    _facts.set(facts)
    return request_id, facts


class RequestLog(ASGIMiddleware):
    """Binds `request_id` for every event of a request, returns it in `x-request-id`, and logs `request_finished`."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request_id, facts = begin_request(scope["headers"])
        started_s, status = perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableScopeHeaders.from_message(message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await next_app(scope, receive, send_with_id)
        finally:
            tell = log.debug if scope["path"] in _QUIET_PATHS else log.info
            tell(
                "request_finished", method=scope.get("method"), path=scope["path"], status=status,
                elapsed_ms=round(1000 * (perf_counter() - started_s), 1), **facts,
            )  # fmt: skip

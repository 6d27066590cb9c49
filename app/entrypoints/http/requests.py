"""What is done for every request: an id in and out, and one event in the log when it is over."""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from time import monotonic
from typing import Final

import msgspec
import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ...domain.stages import Stage, Stages, extended
from ..errors import INTERNAL

log = structlog.stdlib.get_logger()

REQUEST_ID: Final = "x-request-id"
_USABLE_ID: Final = re.compile(r"(?a)[\w.:-]{1,128}")  # anything else of a client's is not repeated in headers and logs
QUIET_PATHS: Final = frozenset({"/healthz", "/readyz"})  # asked every few seconds by whatever watches us


class Record(msgspec.Struct):
    """What is known of a request: facts for the log, and when each stage of its work was done."""

    facts: dict[str, object] = msgspec.field(default_factory=dict)
    stages: dict[str, Stage] = msgspec.field(default_factory=dict)
    heard_s: float | None = None  # when its transcript was complete


_record: Final[ContextVar[Record]] = ContextVar("record")


def current_record() -> Record | None:
    """Return what is known of the request at hand; None outside of any."""
    return _record.get(None)


def note(**facts: object) -> None:
    """Add facts to the event that ends this request; for whoever works on it, in whatever task."""
    if record := _record.get(None):
        record.facts.update(facts)


def noted() -> Mapping[str, object]:
    """Return what was noted of this request so far."""
    record = current_record()
    return record.facts if record else {}


def note_stages(stages: Stages) -> None:
    """Tell what has been done so far for the audio of this request."""
    for name, stage in (("decode", stages.decode), ("queue", stages.queue), ("model", stages.model)):
        if stage:
            note_stage(name, stage)
    note(clips=stages.n_clips, largest_batch=stages.largest_batch)


def note_stage(name: str, stage: Stage) -> None:
    """Tell what a stage of this request has taken so far; times are those of `monotonic`."""
    if record := _record.get(None):
        record.stages[name] = stage
        record.facts[f"{name}_ms"] = round(1000 * stage.busy_s, 1)


def note_heard() -> None:
    """Tell that the transcript is complete: from now on it is rendered."""
    if record := _record.get(None):
        record.heard_s = monotonic()


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, Record]:
    """Bind `request_id` for every event from here on.

    Returns:
        The id, which is the client's own if that is usable; and what the functions above will add to.
    """
    offered = next((value.decode("latin-1") for name, value in headers if name == REQUEST_ID.encode()), "")
    request_id = offered if _USABLE_ID.fullmatch(offered) else f"req_{uuid.uuid4().hex}"
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    _record.set(record := Record())
    return request_id, record


def outcome_of(status: int, facts: Mapping[str, object]) -> str:
    """Say in a word how a request ended.

    Returns:
        `ok`; `cut_off` (the file broke off: the answer is the text of what was there); `refused`; `failed` (our fault); `left`
        (the client did).
    """
    if facts.get("left"):
        return "left"
    if status in (0, 500) or facts.get("error") == INTERNAL.code:
        return "failed"
    if status >= 400 or "error" in facts:
        return "refused"
    return "cut_off" if facts.get("truncated") else "ok"


class RequestLog(ASGIMiddleware):
    """Binds `request_id` for every event of a request, returns it in `x-request-id`, and logs `request_finished`."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request_id, record = begin_request(scope["headers"])
        started_s, status = monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableScopeHeaders.from_message(message)[REQUEST_ID] = request_id
            await send(message)
            if record.heard_s and message["type"] == "http.response.body" and not message.get("more_body"):
                note_stage("render", extended(None, began_s=record.heard_s, ended_s=monotonic()))

        try:
            await next_app(scope, receive, send_with_id)
        finally:
            tell = log.debug if scope["path"] in QUIET_PATHS else log.info
            tell(
                "request_finished", method=scope.get("method"), path=scope["path"], status=status,
                outcome=outcome_of(status, record.facts), elapsed_ms=round(1000 * (monotonic() - started_s), 1), **record.facts,
            )  # fmt: skip

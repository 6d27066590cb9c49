"""A transcript as server-sent events: its text piece by piece, then whole."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import msgspec
import structlog
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from ...domain.errors import SpeechError
from ...domain.transcriber import Part
from ...domain.transcript import Transcript
from ..errors import INTERNAL, body_of_failure, internal_body, row_of
from .bodies import Heard, Include, TextDelta, TextDone, included, included_in_delta, token_usage
from .requests import note

log = structlog.stdlib.get_logger()

EVENT_STREAM: Final = "text/event-stream"
_HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # nginx and its like would hold events back


class EventStream(Response[bytes]):
    """Sends events as they come; the generator is closed before the request ends, however it ends.

    Litestar's `Stream` waits for the client to leave even after the last event, and leaves a generator it gives up to the
    garbage collector.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(b"", media_type=EVENT_STREAM, headers=_HEADERS)
        self._events = events

    def to_asgi_response(self, *_given: Any, **_settings: Any) -> ASGIResponse:
        """Return what sends the events."""
        return _Sending(self._events)


class _Sending(ASGIStreamingResponse):
    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(iterator=events, media_type=EVENT_STREAM, headers=_HEADERS)
        self._events = events

    async def send_body(self, send: Send, receive: Receive) -> None:  # noqa: ARG002  # the door watches who leaves
        async with aclosing(self._events):
            await self._stream(send)


async def streamed(parts: AsyncGenerator[Part, None], *, include: frozenset[Include]) -> EventStream:
    """Answer with events.

    The first part is waited for, so that whatever keeps the file from being transcribed at all is still answered by its status.
    """
    try:
        first = await anext(parts)
    except BaseException:
        await parts.aclose()
        raise
    return EventStream(_events(first, parts, include))


async def _events(first: Part, rest: AsyncGenerator[Part, None], include: frozenset[Include]) -> AsyncGenerator[bytes, None]:
    heard, held = Heard(), ""  # a space at the end belongs to the text only if more follows
    try:
        async with aclosing(rest):
            async for part in _chained(first, rest):
                tokens = heard.add(part)
                said = held + "".join(token.text for token in tokens)
                if delta := said.rstrip():
                    yield _frame(TextDelta(delta=delta, **included_in_delta(Transcript(tokens=tokens), include)))
                held = said[len(delta) :]
        yield await asyncio.to_thread(_done, heard, include)  # of hours it takes seconds
    except SpeechError as failure:
        note(error=row_of(failure).code)
        yield _frame(body_of_failure(failure))
    except Exception as failure:
        log.error("stream_failed", exc_info=failure)
        note(error=INTERNAL.code)
        yield _frame(internal_body())


async def _chained(first: Part, rest: AsyncGenerator[Part, None]) -> AsyncIterator[Part]:
    yield first
    async for part in rest:
        yield part


def _done(heard: Heard, include: frozenset[Include]) -> bytes:
    transcript = heard.transcript
    return _frame(TextDone(text=transcript.text, **included(transcript, include), usage=token_usage(heard)))


def _frame(body: msgspec.Struct) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"

"""What a request passes before Litestar sees it, and its answer on the way out: keys, other origins, HEAD.

Litestar's own middleware runs only where a route matches; these hold for unknown paths and wrong methods too.
"""

import asyncio
import re
from collections.abc import Collection, Iterable
from contextlib import nullcontext, suppress
from copy import copy
from typing import Any, Final

from litestar import Request
from litestar.datastructures import MutableScopeHeaders, State
from litestar.enums import HttpMethod, ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ...domain.errors import GoingDownError, InvalidRequestError
from ..callers import Caller, address_of, remember
from ..drain import Drain
from ..errors import BAD_KEY, Row, body_of, row_of
from ..keys import Keys, bearer_key
from ..rates import RATE_HEADERS
from ..throttle import Throttle
from .answers import error_answer
from .requests import note

_EXPOSED: Final = ", ".join(("x-request-id", "retry-after", "x-should-retry", *RATE_HEADERS)).encode()  # what clients read
_METHODS: Final = b"GET, POST, OPTIONS"
_USUAL_HEADERS: Final = b"authorization, content-type"
_HEADER_NAMES: Final = re.compile(rb"[\w!#$%&'*+.^`|~-]+( *, *[\w!#$%&'*+.^`|~-]+)*")
_PREFLIGHT_TTL_S: Final = 600
_READ_OUT_S: Final = 10
_READ_OUT_AT_THE_END_S: Final = 5  # what is refused last must be answered before the process is ended
_SMALL_PIECE_BYTES: Final = 512  # of what is thrown away: who sends such pieces is read once a second, when some have been
_SMALL_PIECES_AT_ONCE: Final = 5
_READ_OUT_BYTES: Final = 64 * 2**20  # more than most uploads; whoever sends more must find the answer before the reset
_LEFT: Final = {"type": "http.disconnect"}


class KeyDoor(ASGIMiddleware):
    """Refuses with 401, before anything of the body is read, who brings no key of the service's."""

    scopes = (ScopeType.HTTP,)  # a WebSocket is told why it is refused, in its own protocol

    def __init__(self, keys: Keys, *, open_paths: Collection[str]) -> None:
        """Keep the keys; `open_paths` need none."""
        self._keys, self._open_paths = keys, open_paths

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        offered = bearer_key(scope["headers"])
        name = self._keys.name_of(offered)
        if name is not None or not self._keys.locked or scope["path"].rstrip("/") in self._open_paths:
            if name is not None:
                note(key=name)
            remember(scope, Caller(key=name, address=address_of(scope)))
            await next_app(scope, receive, send)
            return
        told = "no such API key" if offered else "an API key is needed"
        told = f"{told}: send `Authorization: Bearer <key>` with a key of this service"
        await _refuse(BAD_KEY, told, scope, receive, send)


class OriginDoor(ASGIMiddleware):
    """Lets the pages of some other origins use the service (CORS), and answers every preflight itself: it brings no key.

    Litestar's `CORSConfig` falls short: to a foreign origin it tells methods and headers all the same, it replaces the
    `Vary` of an answer and leaves its own out where no origin was sent, and it refuses a preflight in plain text.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        sent = dict(scope["headers"])
        granted = self._granted(sent.get(b"origin"))
        if scope.get("method") == HttpMethod.OPTIONS and b"origin" in sent and b"access-control-request-method" in sent:
            # Credentials are never allowed: a key travels in a header that a page must set on purpose, no cookie means anything.
            wanted = sent.get(b"access-control-request-headers", b"")
            allowed = {
                b"access-control-allow-methods": _METHODS,
                # What is wanted, since `*` would not cover `Authorization`, and OpenAI's client sends `x-stainless-` anything.
                b"access-control-allow-headers": wanted if _HEADER_NAMES.fullmatch(wanted) else _USUAL_HEADERS,
                b"access-control-max-age": str(_PREFLIGHT_TTL_S).encode(),
            }
            headers = [*self._vary(), *granted, *(allowed.items() if granted else ())]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def send_with_grant(message: Message) -> None:
            if message["type"] == "http.response.start":
                exposed = [(b"access-control-expose-headers", _EXPOSED)] if granted else []
                message["headers"] = [*message["headers"], *self._vary(), *granted, *exposed]
            await send(message)

        await next_app(scope, receive, send_with_grant)

    def _granted(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if b"*" in self._origins:
            return [(b"access-control-allow-origin", b"*")]  # with or without an origin, so that no cache must tell them apart
        return [(b"access-control-allow-origin", origin)] if origin in self._origins and origin else []

    def _vary(self) -> list[tuple[bytes, bytes]]:
        return [(b"vary", b"Origin")] if self._origins and b"*" not in self._origins else []


class UntilLeft(ASGIMiddleware):
    """Ends the work on a request whose client has left; watches from when the body has been read.

    A body that breaks off is answered all the same: Granian calls it a leaving too when its chunks or its length are wrong,
    and then somebody is there to read it.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        read, left, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
        broken_off = answered = False

        async def send_noting(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        async def receive_body() -> Any:
            nonlocal broken_off
            if read.is_set():
                await left.wait()
                return _LEFT
            message = await receive()
            if message["type"] == "http.disconnect":
                broken_off = True
                left.set()
                read.set()
                await never.wait()  # half a body is for nobody: the work is cancelled while it waits for the rest
            if not message.get("more_body"):
                read.set()
            return message

        async def watch() -> None:
            await read.wait()
            if not left.is_set() and (await receive())["type"] == "http.disconnect":
                left.set()
            await left.wait()

        async def work() -> None:
            await next_app(scope, receive_body, send_noting)

        working, watching = asyncio.create_task(work()), asyncio.create_task(watch())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if cut_off := not working.done():
                note(left=True)
                working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
        with suppress(asyncio.CancelledError) if cut_off else nullcontext():
            working.result()
        if broken_off and not answered:
            failure = InvalidRequestError("the body breaks off, or is not sent as its head says")
            await _refuse(row_of(failure), str(failure), scope, receive, send)


class ReadOut(ASGIMiddleware):
    """Reads, and throws away, what is left of a body that is answered before its end: a refusal, an unknown path.

    Otherwise the connection is closed with bytes unread, the kernel resets it, and a client that is still sending loses the
    answer: it sees a broken connection in the place of a 401 or 503 with `Retry-After`. The answer comes first, unless the
    service goes down: Granian then waits for what is not answered, and for nothing else.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        ended = False

        async def receive_noting() -> Any:
            nonlocal ended
            message = await receive()
            ended = message["type"] == "http.disconnect" or not message.get("more_body")
            return message

        async def read_out(within_s: float) -> None:
            n_left = _READ_OUT_BYTES
            throttle = Throttle(small_bytes=_SMALL_PIECE_BYTES, per_s=1, at_once=_SMALL_PIECES_AT_ONCE)
            with suppress(TimeoutError, GoingDownError):
                async with self._drain.within(asyncio.get_running_loop().time() + within_s):
                    while not ended and n_left > 0:
                        n_bytes = len((await receive_noting()).get("body", b""))
                        n_left -= n_bytes
                        await throttle.take(n_bytes)

        async def send_in_order(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.begun:
                await read_out(_READ_OUT_AT_THE_END_S)
            await send(message)

        await next_app(scope, receive_noting, send_in_order)
        if not ended:
            with self._drain.work():
                await read_out(_READ_OUT_S)


async def _refuse(row: Row, told: str, scope: Scope, receive: Receive, send: Send) -> None:
    note(error=row.code)
    request = Request[None, None, State](scope, receive, send)
    await error_answer(row, body_of(row, told)).to_asgi_response(app=None, request=request)(scope, receive, send)


class HeadAsGet(ASGIMiddleware):
    """Answers HEAD as GET without the body, since RFC 9110 (9.1) wants both everywhere and monitors like to ask so."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        is_head = scope.get("method") == HttpMethod.HEAD
        if is_head:
            scope = copy(scope)  # the log keeps the method that was sent
            scope["method"] = HttpMethod.GET.value  # type: ignore[typeddict-unknown-key]  # a WebSocket never comes here

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                allowed = [method.strip() for method in headers.get("allow", "").split(",")]
                if "GET" in allowed and "HEAD" not in allowed:
                    headers["allow"] = ", ".join(["HEAD", *allowed])
            elif message["type"] == "http.response.body" and is_head:
                message["body"] = b""
            await send(message)

        await next_app(scope, receive, send_head)

"""A request at the ASGI interface itself: its body comes in pieces, when the test wants them, and its client may leave."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import msgspec
from litestar import Litestar


class Answer(msgspec.Struct):
    """What was answered; status 0 is no answer."""

    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""

    def as_httpx(self) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, content=self.body)


async def exchange(
    app: Litestar,
    request: httpx.Request,
    pieces: Sequence[bytes] | None = None,
    *,
    before: Callable[[int], Awaitable[None]] = lambda _i: asyncio.sleep(0),
    on_body: Callable[[], None] = lambda: None,
    leaves: bool = False,
) -> Answer:
    """Send a request and take its answer.

    Args:
        pieces: Of the body; None is all of it.
        before: Run before piece number i is sent.
        on_body: Called after every piece of the answer's body.
        leaves: The client is gone after the last piece, with the body unfinished.
    """
    answer = Answer()
    rest = list(enumerate([request.read()] if pieces is None else pieces))[::-1]

    async def receive() -> Any:
        if not rest and leaves:
            return {"type": "http.disconnect"}
        if not rest:
            await asyncio.Event().wait()
        i, piece = rest.pop()
        await before(i)
        return {"type": "http.request", "body": piece, "more_body": bool(rest) or leaves}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message.get("body"):
            answer.body += message["body"]
            on_body()

    path = request.url.path
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
        "headers": [(name.lower(), value) for name, value in request.headers.raw], "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "client": ("test", 1), "server": ("test", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return answer

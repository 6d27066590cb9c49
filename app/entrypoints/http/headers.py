"""What every answer tells browsers not to do with it."""

from collections.abc import Mapping
from typing import Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",  # of what is no page; pages bring their own
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


class HeaderDoor(ASGIMiddleware):
    """Adds these headers to every answer that lacks them, whoever gave it."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, *, hsts_s: int) -> None:
        """Prepare; with `hsts_s` browsers are told to come by https alone for that many seconds."""
        told = {b"strict-transport-security": b"max-age=%d" % hsts_s} if hsts_s else {}
        self._headers: Mapping[bytes, bytes] = _ALWAYS | told

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                has = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in self._headers.items() if item[0] not in has)]
            await send(message)

        await next_app(scope, receive, send_guarded)

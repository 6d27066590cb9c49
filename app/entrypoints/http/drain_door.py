"""What requests meet while the service goes down."""

from typing import Final

from litestar import Request
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ..drain import Drain, going_down
from .answers import answer_speech_error

_ALWAYS_ANSWERED: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # whoever watches us shall see it
_CLOSE: Final = (b"connection", b"close")  # on a new connection a client may reach another instance


class DrainDoor(ASGIMiddleware):
    """Counts every request as under way until it is answered; refuses new ones with 503 once the service goes down."""

    scopes = (ScopeType.HTTP,)  # a WebSocket is told why it is refused, in its own protocol

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.begun:
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        if scope["path"].rstrip("/") in _ALWAYS_ANSWERED:
            await next_app(scope, receive, send_last)
            return
        if self._drain.begun:
            request = Request[None, None, State](scope, receive, send_last)
            answer = answer_speech_error(request, going_down())
            await answer.to_asgi_response(app=None, request=request)(scope, receive, send_last)
            return
        with self._drain.work():
            await next_app(scope, receive, send_last)

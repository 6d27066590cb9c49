"""What a request passes that counts: how often its sender may ask."""

from collections.abc import Collection

from litestar import Request
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ...domain.errors import RateLimitedError
from ..callers import caller_of
from ..rates import Rates
from .answers import answer_speech_error


class RateDoor(ASGIMiddleware):
    """Refuses with 429, before anything of the body is read, who has asked too often; every answer tells what is left.

    Litestar's `RateLimitMiddleware` counts whole requests alone, knows nothing of OpenAI's headers, runs only where a route
    matches, and keeps a list of times for each caller, as JSON.
    """

    scopes = (ScopeType.HTTP,)  # a WebSocket is told in its own protocol

    def __init__(self, rates: Rates, *, open_paths: Collection[str]) -> None:
        """Keep the rates; `open_paths` count for nobody."""
        self._rates, self._open_paths = rates, open_paths

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["path"].rstrip("/") in self._open_paths:
            await next_app(scope, receive, send)
            return
        meter = self._rates.meter(caller_of(scope).account)

        async def send_with_rates(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *meter.headers()]
            await send(message)

        try:
            meter.count_request()
        except RateLimitedError as refusal:
            request = Request[None, None, State](scope, receive, send)
            answer = answer_speech_error(request, refusal)
            await answer.to_asgi_response(app=None, request=request)(scope, receive, send_with_rates)
        else:
            await next_app(scope, receive, send_with_rates)

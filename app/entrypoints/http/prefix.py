"""The path below which a proxy shows the service."""

from copy import copy

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send


class PrefixDoor(ASGIMiddleware):
    """Takes the prefix off the path of whatever has it: some proxies pass it on, others take it off themselves.

    It is not put into `root_path`: Litestar would take it out of the middle of a path, too.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        path = scope["path"]
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            scope = copy(scope)
            scope["path"] = path.removeprefix(self._prefix) or "/"
        await next_app(scope, receive, send)

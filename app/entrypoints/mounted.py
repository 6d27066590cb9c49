"""The service inside another ASGI application: under a prefix, with its own keys, errors and documents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import asgi
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.types import Receive, Scope, Send

from ..container import Container
from ..settings import Settings
from .app import create_app
from .embedded import use_logging

_SCOPE_KEYS: Final = (  # of ASGI; what the application around us keeps in the scope beside them is not for ours to read
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "headers",
    "client",
    "server",
    "subprotocols",
    "extensions",
)


class SpeechService:
    """The whole HTTP and WebSocket API as an ASGI application, to be mounted or served.

    A framework that mounts it does not run its lifespan: hand `lifespan` to the framework, or enter it in the one of yours.
    The model loads in the background once that has begun; until then requests that need it get a 503.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Wire the parts; nothing is loaded yet. None: the default settings."""
        use_logging()
        self._app = create_app(Container(settings=settings or Settings()))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, by the rules of ASGI 3; paths are taken below the prefix that `root_path` names."""
        await self._app(scope if scope["type"] == "lifespan" else _below_root(scope), receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Load on entering, in the background; on leaving finish what was begun. Takes an application, as frameworks pass one."""
        async with self._app.lifespan():
            yield


class SpeechPlugin(InitPlugin):
    """Mounts the API in a Litestar application: `Litestar(plugins=[SpeechPlugin(settings, path="/speech")])`."""

    def __init__(self, settings: Settings | None = None, *, path: str = "/speech") -> None:
        """Prepare.

        Args:
            path: The prefix: `/speech/v1/audio/transcriptions` and so on.
        """
        self._service, self._path = SpeechService(settings), path

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the mount and the lifespan."""
        service = self._service

        @asgi(self._path, is_mount=True, copy_scope=True)
        async def speech(scope: Scope, receive: Receive, send: Send) -> None:
            await service(scope, receive, send)

        app_config.route_handlers.append(speech)
        app_config.lifespan.append(service.lifespan)
        return app_config


def _below_root(scope: Any) -> Any:
    """Return a scope of our own whose path begins below the mount.

    `path` holds the prefix by ASGI's rule, and with Starlette; Litestar and others cut it off.
    """
    ours = {key: scope[key] for key in _SCOPE_KEYS if key in scope}
    root = scope.get("root_path", "").rstrip("/")
    path: str = ours["path"]
    if root and (path == root or path.startswith(f"{root}/")):
        ours["path"] = path[len(root) :] or "/"
    return ours | {"root_path": "", "state": {}}

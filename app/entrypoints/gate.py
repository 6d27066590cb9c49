"""Who may come in and how much each may ask, put together from the settings."""

from collections.abc import Coroutine, Iterable
from pathlib import Path
from time import monotonic
from typing import Any, Final

from litestar.di import NamedDependency
from litestar.middleware import ASGIMiddleware

from ..settings import Settings
from .callers import Caller
from .http.doors import KeyDoor
from .http.rate_door import RateDoor
from .key_file import KeyFile
from .keys import Keys
from .rates import Meter, Rates
from .websocket.entrance import Entrance

_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})  # asked by what has no key: orchestrators and load balancers


class Gate:
    """The keys and the rates, the doors that requests over HTTP pass, and the entrance of WebSockets."""

    def __init__(self, settings: Settings, *, open_paths: Iterable[str]) -> None:
        """Read the file of keys, if there is one; `open_paths` need no key and count for nobody, as the health checks do."""
        self._keys = Keys(settings.api_keys, with_file=bool(settings.api_keys_file))
        self._key_file = KeyFile(Path(settings.api_keys_file), self._keys) if settings.api_keys_file else None
        self._rates = Rates(
            requests_per_minute=settings.requests_per_minute, audio_s_per_minute=settings.audio_s_per_minute, now_s=monotonic
        )
        self._entrance = Entrance(self._keys, self._rates, settings.cors_origins)
        self._open_paths = _OPEN_PATHS | frozenset(open_paths)

    def doors(self) -> tuple[ASGIMiddleware, ...]:
        """Return the doors, the inner one first: only who was let in is counted."""
        return RateDoor(self._rates, open_paths=self._open_paths), KeyDoor(self._keys, open_paths=self._open_paths)

    def provide_entrance(self) -> Entrance:
        """Return the entrance, for a handler that asks for it."""
        return self._entrance

    def provide_meter(self, caller: NamedDependency[Caller]) -> Meter:
        """Return the meter of whoever sent a request."""
        return self._rates.meter(caller.account)

    def watches(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what must run as long as the application does."""
        return (self._key_file.watch(),) if self._key_file else ()

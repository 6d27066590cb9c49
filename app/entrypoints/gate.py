"""Who may come in, put together from the settings."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from ..settings import Settings
from .key_file import KeyFile
from .keys import Keys
from .websocket.entrance import Entrance


class Gate:
    """The keys, and the way in for WebSockets; requests over HTTP come in by doors (`http/doors.py`)."""

    def __init__(self, settings: Settings) -> None:
        """Read the file of keys, if there is one."""
        self.keys = Keys(settings.api_keys, with_file=bool(settings.api_keys_file))
        self._key_file = KeyFile(Path(settings.api_keys_file), self.keys) if settings.api_keys_file else None
        self.entrance = Entrance(self.keys, settings.cors_origins)

    def provide_entrance(self) -> Entrance:
        """Return the entrance, for a handler that asks for it."""
        return self.entrance

    def watches(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what must run as long as the application does."""
        return (self._key_file.watch(),) if self._key_file else ()

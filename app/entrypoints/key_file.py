"""The file of keys: read again when it changes, so that a key comes and goes without a restart."""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from .keys import Key, Keys, KeysError, read_keys

log = structlog.stdlib.get_logger()

_LOOK_EVERY_S: Final = 0.5
_MOST_BYTES: Final = 1_000_000  # some 10,000 keys; it is read twice a second


class KeyFile:
    """Gives what the file holds to `Keys`. While it cannot be used the keys it held last go on opening, and the log says so."""

    def __init__(self, path: Path, keys: Keys) -> None:
        """Read the file; if that is impossible nothing of it opens yet."""
        self._path, self._keys = path, keys
        self._held: tuple[Key, ...] = ()
        self._seen = self._taken = _content(path)
        self._take()

    async def watch(self) -> None:
        """Look at the file twice a second, off the event loop, until this is cancelled.

        Looking is all that works everywhere: mounted secrets and network disks tell no program that they changed.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the file. Something new counts once two looks in a row have found it: the first may meet a file half written."""
        found = _content(self._path)
        if found == self._seen and found != self._taken:
            self._taken = found
            self._take()
        self._seen = found

    def _take(self) -> None:
        try:
            keys = _keys_in(self._taken)
        except KeysError as fault:
            log.error("api_keys_kept", path=str(self._path), reason=str(fault), keys=len(self._held))
            return
        before, now = ({key.name for key in held} for held in (self._held, keys))
        self._held = keys
        self._keys.replace_file_keys(keys)
        log.info("api_keys_read", keys=len(keys), added=sorted(now - before), removed=sorted(before - now))


def check_key_file(path: Path) -> None:
    """Raise `KeysError` if the file cannot be read, or holds anything but keys."""
    _keys_in(_content(path))


def _keys_in(content: bytes | str) -> tuple[Key, ...]:
    if isinstance(content, str):
        raise KeysError(content)
    if len(content) > _MOST_BYTES:
        raise KeysError(f"it is longer than {_MOST_BYTES} bytes")
    try:
        return read_keys(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise KeysError("it is no text in UTF-8") from None  # the error would show what is there


def _content(path: Path) -> bytes | str:
    """Return what is in the file, up to one byte more than it may hold, or why that cannot be told."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as fault:
        return fault.strerror or type(fault).__name__

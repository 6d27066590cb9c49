"""Short-lived secrets that a server mints for its pages: they open a realtime session, and nothing else."""

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from ..domain.errors import OverloadedError
from .websocket.realtime_session import SessionConfig

PREFIX: Final = "ek_"
MOST_SECRETS: Final = 10_000  # that are valid at a time; chosen: a bound for memory, far above what sessions there can be
_SECRET_BYTES: Final = 32
_RETRY_S: Final = 10  # the shortest time that a secret lasts


class Minted(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, told this once."""

    value: str
    expires_unix_s: int


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    expires_unix_s: int
    preset: SessionConfig
    owner: str | None


class ClientSecrets:
    """The secrets that are valid, kept as digests in this process's memory. They may be used more than once."""

    def __init__(self, now_unix_s: Callable[[], float]) -> None:
        """Begin with none.

        Args:
            now_unix_s: The time, in seconds since 1970.
        """
        self._now_unix_s = now_unix_s
        self._kept: dict[bytes, _Kept] = {}

    def mint(self, preset: SessionConfig, *, lifetime_s: int, owner: str | None) -> Minted:
        """Make a secret.

        Args:
            preset: What a session is set to that it opens.
            owner: The name of the key it is made for; None where there are no keys.

        Raises:
            OverloadedError: As many as are allowed are valid.
        """
        now_unix_s = self._now_unix_s()
        if len(self._kept) >= MOST_SECRETS:
            self._kept = {digest: kept for digest, kept in self._kept.items() if kept.expires_unix_s > now_unix_s}
        if len(self._kept) >= MOST_SECRETS:
            raise OverloadedError(f"{MOST_SECRETS} client secrets are valid already; try again later", retry_after_s=_RETRY_S)
        minted = Minted(value=PREFIX + secrets.token_urlsafe(_SECRET_BYTES), expires_unix_s=int(now_unix_s) + lifetime_s)
        self._kept[_digest(minted.value.encode())] = _Kept(expires_unix_s=minted.expires_unix_s, preset=preset, owner=owner)
        return minted

    def owner_of(self, offered: bytes | None) -> str | None:
        """Return the name of the key that this secret was made for; None if it is no secret, has expired, or is nobody's."""
        kept = self._valid(offered)
        return kept.owner if kept else None

    def preset(self, offered: bytes | None) -> SessionConfig | None:
        """Return what a session is set to that is opened with this key; None if the key is no secret, or has expired."""
        kept = self._valid(offered)
        return kept.preset if kept else None

    def _valid(self, offered: bytes | None) -> _Kept | None:
        kept = self._kept.get(_digest(offered or b""))  # by digest: how long it takes tells nothing of any secret
        return kept if kept and kept.expires_unix_s > self._now_unix_s() else None


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()

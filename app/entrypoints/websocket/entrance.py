"""Who may open a WebSocket. Each is accepted first, so that whoever may not can be told why."""

from collections.abc import Collection
from typing import Final

from litestar.types import Scope

from ..callers import Caller, address_of
from ..client_secrets import ClientSecrets
from ..errors import BAD_KEY, FOREIGN_ORIGIN, body_of
from ..http.requests import note
from ..keys import Keys, offered_key
from ..rates import Meter, Rates
from .closes import REFUSED, RefusedError

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Entrance:
    """Lets in whoever brings a key and has not asked too often, and no page of a foreign origin.

    Of the origin a page cannot lie, and it must be looked at here: a browser asks nobody before it opens a WebSocket.
    """

    def __init__(self, keys: Keys, rates: Rates, origins: Collection[str]) -> None:
        """Prepare.

        Args:
            origins: Whose pages may use the service, as in the settings; those of its own host always may.
        """
        self._keys, self._rates = keys, rates
        self._origins = frozenset(origin.lower() for origin in origins)

    def admit(self, scope: Scope, *, code: int = REFUSED, secrets: ClientSecrets | None = None) -> Meter:
        """Let a client in; return the meter of whoever it is counted for.

        Args:
            code: What a refused socket is closed with.
            secrets: Those that open this door beside keys; each counts for the key that minted it, and opens as long as that does.

        Raises:
            RefusedError: It may not come in.
            RateLimitedError: Not now.
        """
        if self._is_foreign(scope):
            raise RefusedError(body_of(FOREIGN_ORIGIN, "pages of this origin may not use the service"), code=code)
        offered = offered_key(scope)
        name = self._keys.name_of(offered)
        if name is None and secrets and (owner := secrets.owner_of(offered)) in self._keys.names:
            name = owner
        if name is None and self._keys.locked:
            told = "no such API key" if offered else "an API key is needed"
            how = "send `Authorization: Bearer <key>`, or `?api_key=<key>`, with a key of this service"
            raise RefusedError(body_of(BAD_KEY, f"{told}: {how}"), code=code)
        if name is not None:
            note(key=name)
        meter = self._rates.meter(Caller(key=name, address=address_of(scope)).account)
        meter.count_request()
        meter.check_audio()
        return meter

    def _is_foreign(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if not origin or "*" in self._origins or origin in self._origins:
            return False
        scheme, _, place = origin.partition("://")
        default = _DEFAULT_PORTS.get(scheme, "")  # some proxies write it into `Host`; browsers leave it out of `Origin`
        return not place or place.removesuffix(default) != headers.get(b"host", b"").decode("latin-1").lower().removesuffix(default)

"""The keys that open the service: one check for every way in."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final
from urllib.parse import parse_qs

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."  # with the key after it, as OpenAI's client for browsers sends it
_QUERY_NAMES: Final = ("api_key", "token")
_BEARER: Final = re.compile(rb"(?i:bearer) +([!-~]+) *")


class Keys:
    """The keys of the settings, kept as digests. Without any the service is open to everybody."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    def admit(self, offered: bytes | None) -> bool:
        """Tell whether whoever offers this key, or none, may come in; where no keys exist anything will do."""
        if not self._digests:
            return True
        digest = hashlib.sha256(offered or b"").digest()
        # A list: all keys are compared always, so that the time tells neither which one fits nor how many there are before it.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return offered is not None and any(matches)


def bearer_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the key of `Authorization: Bearer <key>`; None without the header, with two of them, or with anything else in it."""
    sent = [value for name, value in headers if name == b"authorization"]
    found = _BEARER.fullmatch(sent[0]) if len(sent) == 1 else None
    return found[1] if found else None


def offered_key(scope: Mapping[str, Any]) -> bytes | None:
    """Return the key that a WebSocket brings: as `Authorization: Bearer`, or where a page in a browser can put it.

    Args:
        scope: Of ASGI. Without the header, `?api_key=` or `?token=` is looked for, then the subprotocol `KEY_SUBPROTOCOL`.
    """
    if key := bearer_key(scope["headers"]):
        return key
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    in_query = (asked[name][0] for name in _QUERY_NAMES if name in asked)
    protocols = scope.get("subprotocols") or ()
    in_protocol = (one.removeprefix(KEY_SUBPROTOCOL) for one in protocols if one.startswith(KEY_SUBPROTOCOL))
    found = next(chain(in_query, in_protocol), None)
    return found.encode() if found else None

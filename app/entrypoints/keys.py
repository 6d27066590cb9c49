"""The keys that open the service: one check for every way in."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

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

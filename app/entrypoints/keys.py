"""The keys that open the service: how they are written down, made, and checked, by one check for every way in."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."  # with the key after it, as OpenAI's client for browsers sends it
_QUERY_NAMES: Final = ("api_key", "token")
_BEARER: Final = re.compile(rb"(?i:bearer) +([!-~]+) *")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ENTRY: Final = re.compile(rf"({_NAME.pattern}):sha256:([0-9a-fA-F]{{64}})")
_FORM: Final = "`name:sha256:<64 hex digits>`"
_PREFIX: Final = "stt_"  # of the keys made here, for people and for programs that look for leaked secrets
_SECRET_BYTES: Final = 32


class KeysError(Exception):
    """A list of keys that cannot be used; the text repeats nothing of it."""


class Key(msgspec.Struct, frozen=True):
    """What the service keeps of a key: its name, and the SHA-256 of the key itself.

    A plain hash is enough: keys are long and random, so that nobody finds one by trying. What makes passwords' hashes slow would
    only let strangers, who make the service hash what they offer, keep it busy.
    """

    name: str
    digest: bytes

    @property
    def entry(self) -> str:
        """How it is written down."""
        return f"{self.name}:sha256:{self.digest.hex()}"


class Keys:
    """The keys of the settings and of the file. Without either the service is open to everybody."""

    def __init__(self, given: Iterable[str] = (), *, with_file: bool = False) -> None:
        """Begin with the keys of the settings.

        Args:
            given: As `STT_API_KEYS` has them: keys themselves, which are named `env-1`, `env-2` by their place, or entries.
            with_file: Whether there is a file of keys; the service is locked then, even while no key is known.
        """
        self._given = tuple(_given_key(one, place) for place, one in enumerate(given, 1))
        self._of_file: tuple[Key, ...] = ()
        self.locked: Final = with_file or bool(self._given)

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all keys that open now."""
        return frozenset(key.name for key in (*self._given, *self._of_file))

    def replace_file_keys(self, keys: tuple[Key, ...]) -> None:
        """Let these open from now on, beside those of the settings; from any thread."""
        self._of_file = keys

    def name_of(self, offered: bytes | None) -> str | None:
        """Return the name of this key; None if it is none, or nothing was offered."""
        digest = hashlib.sha256(offered or b"").digest()
        # A list: all keys are compared always, so that the time tells neither which one fits nor how many there are before it.
        matches = [(hmac.compare_digest(digest, key.digest), key.name) for key in (*self._given, *self._of_file)]
        return next((name for fits, name in matches if fits), None) if offered else None


def new_key(name: str) -> tuple[str, Key]:
    """Make a key: what its owner is told, and what the service keeps of it.

    Raises:
        KeysError: The name may have 1 to 64 letters, digits, dots, dashes and underscores, and no dot or dash at its start.
    """
    if not _NAME.fullmatch(name):
        raise KeysError("a name is 1 to 64 letters, digits, `.`, `-` and `_`, and begins with a letter or digit")
    secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, Key(name, hashlib.sha256(secret.encode()).digest())


def read_keys(text: str) -> tuple[Key, ...]:
    """Read a list of keys: one entry a line; empty lines, and those that begin with `#`, say nothing. A name may come twice.

    Raises:
        KeysError: A line is none of these.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            if not (found := _ENTRY.fullmatch(entry)):
                raise KeysError(f"line {number} is not {_FORM}")
            keys.append(Key(found[1], bytes.fromhex(found[2])))
    return tuple(keys)


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


def _given_key(given: str, place: int) -> Key:
    if found := _ENTRY.fullmatch(given):
        return Key(found[1], bytes.fromhex(found[2]))
    return Key(f"env-{place}", hashlib.sha256(given.encode()).digest())

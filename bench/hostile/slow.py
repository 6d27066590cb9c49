"""Clients that take their time, or for ever. `SETTINGS` make patience and the longest audio short enough to be waited for."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from .case import (
    BARE,
    BOUNDARY,
    CUT,
    OK,
    SENTENCE,
    TOO_SLOW,
    TRANSCRIPTIONS,
    Case,
    Closed,
    Exchange,
    Session,
    Told,
    case,
    form,
    head,
    posted,
)
from .sockets import FINISH, masked, sound, text
from .sounds import wav

SETTINGS: Final[Mapping[str, str]] = {
    "STT_CONNECTION_IDLE_S": "4", "STT_UPLOAD_IDLE_S": "3", "STT_STALL_S": "5", "STT_LIVE_IDLE_S": "4", "STT_MAX_UPLOAD_MB": "64",
    "STT_MAX_AUDIO_S": "1200",
}  # fmt: skip
_CHUNKED: Final = head(
    "POST " + TRANSCRIPTIONS, b"content-type: multipart/form-data; boundary=" + BOUNDARY, b"transfer-encoding: chunked"
)
_IDLE: Final = Closed(code=1008, errors=(("idle_timeout", None),))
_OVER_S: Final = 25.0


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _requests()
    yield from _sessions()


def _requests() -> Iterator[Case]:
    body = form(wav())
    whole = posted(body)
    at = len(whole) - len(body)

    def slow(name: str, *pieces: bytes | float, expected: tuple[Told, ...]) -> Case:
        return case(name, partial(Exchange, pieces=[*pieces, _OVER_S + 5]), *expected, within_s=_OVER_S, waits=True)

    yield slow("connects, and says nothing", expected=(CUT,))
    yield slow("half a head, and nothing more", whole[:30], expected=(CUT,))
    yield slow("a head of a byte every 0.3 s", *_dribbled(whole[:80], 0.3), expected=(CUT,))
    yield slow(
        "a line of the head every second",
        *_dribbled(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30, 1.0, 6),
        expected=(CUT,),
    )
    yield slow("a whole head, and no body", whole[:at], expected=(TOO_SLOW,))
    yield slow("half a body, and nothing more", whole[: len(whole) // 2], expected=(TOO_SLOW,))
    yield slow("a body of a byte every 0.2 s", whole[:at], *_dribbled(body[:120], 0.2), expected=(TOO_SLOW,))
    yield slow("a body of 600 bytes every 0.5 s", whole[:at], *_dribbled(body, 0.5, 600), expected=(TOO_SLOW,))
    yield slow("all but the last byte", whole[:-1], expected=(TOO_SLOW,))
    yield slow("stops within a boundary", whole[: at + 10], expected=(TOO_SLOW,))
    yield slow("stops within a chunk's size", _CHUNKED + b"10", expected=(TOO_SLOW,))
    yield slow("stops within a chunk", _CHUNKED + b"1000\r\nhello", expected=(TOO_SLOW,))
    yield slow("stops before the last chunk", _CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n", expected=(TOO_SLOW,))
    yield slow("a chunk of a byte every 0.2 s", _CHUNKED, *_dribbled(b"1\r\n-\r\n" * 120, 0.2, 6), expected=(TOO_SLOW,))
    yield slow("stops within JSON", posted(b'{"a": 1}', path="/v1/realtime/client_secrets")[:-3], expected=(TOO_SLOW,))
    yield slow("TLS that stops", b"\x16\3\1\2\0\1\0", expected=(BARE,))
    yield slow("asks once, and stays", b"GET /healthz HTTP/1.1\r\nhost: any\r\n\r\n", expected=(OK,))
    yield slow("in no hurry, but in time", *_dribbled(whole, 0.2, 20_000), expected=(SENTENCE,))
    yield slow("a request that waits for a go-ahead", posted(body, b"expect: 100-continue")[: -len(body)], expected=(TOO_SLOW,))


def _sessions() -> Iterator[Case]:
    def slow(name: str, path: str, *pieces: bytes | float, told: Closed, reads: bool = True) -> Case:
        return case(name, partial(Session, path=path, pieces=[*pieces], reads=reads), told, within_s=_OVER_S + 20, waits=True)

    yield slow("opens /ws, and says nothing", "/ws", told=_IDLE)
    yield slow("opens realtime, and says nothing", "/v1/realtime", told=_IDLE)
    yield slow("never finishes", "/ws", sound(1), told=_IDLE)
    yield slow("half a frame, and nothing more", "/ws", masked(2, bytes(1_000))[:100], told=_IDLE)
    yield slow("half a message, and nothing more", "/ws", masked(2, bytes(1_000), fin=False), told=_IDLE)
    yield slow("a frame of a byte every 0.2 s", "/ws", *_dribbled(masked(2, bytes(200))[:60], 0.2), told=_IDLE)
    yield slow("pings, and nothing else", "/ws", *_every(masked(9, b"x"), 0.5, 20), told=_IDLE)
    yield slow("sound in bytes", "/ws", *([masked(2, b"\0")] * 1_000), FINISH, told=Closed(code=1000, hears="nothing"))
    update = text({"type": "session.update", "session": {"audio": {"input": {"transcription": {"prompt": "p" * 16_000}}}}})
    yield slow("asks for 16 MB of answers, and reads none", "/v1/realtime", *([update] * 1_000), told=Closed(), reads=False)


def _every(piece: bytes, pause_s: float, n: int) -> list[bytes | float]:
    return [piece, pause_s] * n


def _dribbled(data: bytes, every_s: float, n_bytes: int = 1) -> list[bytes | float]:
    pieces: list[bytes | float] = []
    for at in range(0, len(data), n_bytes):
        pieces += [data[at : at + n_bytes], every_s]
    return pieces

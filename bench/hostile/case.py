"""What a case of the corpus is: what is sent, and what must come back."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
BOUNDARY: Final = b"hostile-boundary"
FORM_TYPE: Final = b"multipart/form-data; boundary=" + BOUNDARY
USUAL_S: Final = 30.0  # for a case to be over; whatever takes longer hangs
Hears = Literal["anything", "nothing", "the sentence"]
Pieces = Sequence[bytes | float]  # bytes, and pauses between them in seconds
Unmade = bytes | float | Callable[[], bytes]  # the same, large ones to be made when they are sent


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes over a connection of their own, however little they are HTTP."""

    pieces: Pieces
    ends: bool = False  # the client closes its half behind them


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket, opened as it should be; then frames, however little they are such."""

    path: str
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Pieces
    reads: bool = True  # False: takes in nothing


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An answer over HTTP."""

    status: int  # 0: the connection is closed without any
    code: str | None = None  # of an error; None with a status above 399: refused by the server below
    body: bytes = b""  # which may tell this
    param: str | None = None
    hears: Hears = "anything"  # in JSON of a transcription that went well
    n_answers: int = 1


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a session."""

    code: int | None = None  # None: without a close frame
    errors: tuple[tuple[str, str | None], ...] = ()  # code and param of each error that was told, in order
    hears: Hears = "anything"


Sent = Exchange | Session
Expected = Told | Closed


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One attack. `expected` are the answers of which it must get one; where there are several, the contract leaves it open."""

    name: str
    family: str = ""
    build: Callable[[], Sent]
    expected: tuple[Expected, ...]
    within_s: float = USUAL_S
    waits: bool = False  # it takes its time by doing nothing, so it may run beside others
    heard_long: bool = False  # the model hears minutes of it, and has memory for that whoever sends them


OK: Final = Told(status=200)
SILENT: Final = Told(status=200, hears="nothing")
SENTENCE: Final = Told(status=200, hears="the sentence")
BARE: Final = Told(status=400)
CUT: Final = Told(status=0)
NO_AUDIO: Final = Told(status=400, code="invalid_value", param="file")
TOO_SHORT: Final = Told(status=400, code="audio_too_short", param="file")
TOO_LONG: Final = Told(status=400, code="audio_too_long", param="file")
TOO_LARGE: Final = Told(status=413, code="file_too_large", param="file")
TOO_SLOW: Final = Told(status=408, code="request_timeout")
BAD_FORM: Final = Told(status=400, code="invalid_value")


def wrong(param: str) -> Told:
    """Return the refusal of a field."""
    return Told(status=400, code="invalid_value", param=param)


def case(name: str, build: Callable[[], Sent], *expected: Expected, within_s: float = USUAL_S, waits: bool = False) -> Case:
    """Make a case that must get one of the answers `expected`."""
    return Case(name=name, build=build, expected=expected, within_s=within_s, waits=waits)


def upload(name: str, data: Callable[[], bytes], *expected: Told, within_s: float = USUAL_S, heard_long: bool = False) -> Case:
    """Make a case of a file."""
    made = case(name, lambda: Exchange(pieces=[posted(form(data()))]), *expected, within_s=within_s)
    return msgspec.structs.replace(made, heard_long=heard_long)


def fields(name: str, sent: Sequence[tuple[str, str | bytes]], *expected: Told, data: Callable[[], bytes]) -> Case:
    """Make a case of fields beside a file that is fine."""
    return case(name, lambda: Exchange(pieces=[posted(form(data(), sent))]), *expected)


def raw(name: str, *pieces: Unmade, expected: Sequence[Expected], ends: bool = False) -> Case:
    """Make a case of bytes."""
    return case(name, lambda: Exchange(pieces=made(pieces), ends=ends), *expected)


def made(pieces: Sequence[Unmade]) -> Pieces:
    """Return pieces as they are sent."""
    return [piece() if callable(piece) else piece for piece in pieces]


def part(disposition: bytes, body: bytes, *headers: bytes) -> bytes:
    """Return a part of a form, without the boundary before it."""
    lines = (b"content-disposition: " + disposition, *headers, b"", body)
    return b"\r\n".join(lines)


def form(data: bytes | None, sent: Sequence[tuple[str, str | bytes]] = (), *, file_name: bytes = b"a.wav") -> bytes:
    """Return a whole form with text fields and, unless it is None, a file."""
    parts = [
        part(b'form-data; name="' + name.encode() + b'"', value.encode() if isinstance(value, str) else value)
        for name, value in sent
    ]
    if data is not None:
        parts.append(part(b'form-data; name="file"; filename="' + file_name + b'"', data))
    return enclosed(parts)


def enclosed(parts: Sequence[bytes]) -> bytes:
    """Return parts with the boundary around them."""
    return b"".join(b"--" + BOUNDARY + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + BOUNDARY + b"--\r\n"


def posted(
    body: bytes,
    *headers: bytes,
    path: str = TRANSCRIPTIONS,
    content_type: bytes = FORM_TYPE,
    length: bytes | None = None,
) -> bytes:
    """Return a request that posts `body`; `length` is what it says of its length."""
    told = (b"content-type: " + content_type, b"content-length: " + (length or str(len(body)).encode()), *headers)
    return head("POST " + path, *told) + body


def head(line: str | bytes, *headers: bytes) -> bytes:
    """Return the head of a request; the connection ends with its answer."""
    first = line.encode() if isinstance(line, str) else line
    return b"\r\n".join((first + b" HTTP/1.1", b"host: any", b"connection: close", *headers, b"", b""))

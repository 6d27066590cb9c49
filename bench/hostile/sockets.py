"""Frames that are none, messages that say nothing or too much, and handshakes with `/ws`."""

import json
import struct
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from app.domain.audio import MODEL_RATE_HZ

from .case import USUAL_S, Case, Closed, Session, Told, Unmade, case, made, raw
from .sounds import sentence, shorts

_TEXT, _SOUND, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_REST: Final = 1.0  # s of silence, in which an utterance ends
_MIB: Final = 2**20
FINISHED: Final = Closed(code=1000)
SAID: Final = Closed(code=1000, hears="the sentence")
BROKEN: Final = Closed(code=1002)
_HANDSHAKE: Final = (
    b"connection: upgrade",
    b"upgrade: websocket",
    b"sec-websocket-version: 13",
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def masked(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bool = True,
    length: int | None = None,
    wide: bool = False,
) -> bytes:
    """Return a frame; `length` is what it claims, `wide` in eight bytes even if fewer would do."""
    n_bytes = len(payload) if length is None else length
    first, bit = (0x80 if fin else 0) | reserved << 4 | opcode, 0x80 if mask else 0
    if n_bytes < 126 and not wide:
        size = bytes([bit | n_bytes])
    elif n_bytes < 65_536 and not wide:
        size = bytes([bit | 126]) + struct.pack(">H", n_bytes)
    else:
        size = bytes([bit | 127]) + struct.pack(">Q", n_bytes)
    if not mask:
        return bytes([first]) + size + payload
    key = np.frombuffer(b"\x37\xfa\x21\x3d" * (len(payload) // 4 + 1), np.uint8)[: len(payload)]
    return bytes([first]) + size + b"\x37\xfa\x21\x3d" + (np.frombuffer(payload, np.uint8) ^ key).tobytes()


def text(message: object) -> bytes:
    """Return a frame of JSON."""
    return masked(_TEXT, json.dumps(message).encode())


def sound(duration_s: float = 0.0) -> bytes:
    """Return a frame with the sentence, or with so much silence."""
    return masked(_SOUND, bytes(2 * round(duration_s * MODEL_RATE_HZ)) if duration_s else shorts(sentence()))


def in_frames(opcode: int, payload: bytes, n_bytes: int) -> bytes:
    """Return a message in frames of so many bytes."""
    starts = range(0, len(payload), n_bytes)
    return b"".join(masked(0 if at else opcode, payload[at : at + n_bytes], fin=at == starts[-1]) for at in starts)


FINISH: Final = text({"type": "finish"})


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _handshakes()
    yield from _frames()
    yield from _messages()
    yield from _choices()
    yield from _sounds()


def session(name: str, *pieces: Unmade, told: Closed, query: str = "", path: str = "/ws", within_s: float = USUAL_S) -> Case:
    """Make a case of a session whose handshake is right."""
    return case(name, lambda: Session(path=path + query, pieces=made(pieces)), told, within_s=within_s)


def _handshakes() -> Iterator[Case]:
    def knock(name: str, *lines: bytes, line: bytes = b"GET /ws HTTP/1.1", expected: tuple[Told, ...]) -> Case:
        return raw(f"handshake: {name}", b"\r\n".join((line, b"host: any", *lines, b"", b"")), expected=expected)

    opened, no_method = (Told(status=101),), (Told(status=405, code="method_not_allowed"),)
    no_version = (Told(status=400, body=b'No "Sec-WebSocket-Version: 13" header'),)
    yield knock("none", expected=no_method)
    # Granian looks at the headers of a handshake alone
    yield knock("by POST", *_HANDSHAKE, line=b"POST /ws HTTP/1.1", expected=opened)
    yield knock("in HTTP/1.0", *_HANDSHAKE, line=b"GET /ws HTTP/1.0", expected=opened)
    yield knock("without a version", *_HANDSHAKE[:2], _HANDSHAKE[3], expected=no_version)
    no_key = (Told(status=400, body=b'No "Sec-WebSocket-Key" header'),)
    yield knock("without a key", *_HANDSHAKE[:3], expected=no_key)
    for name, at, value, told in (
        ("version 12", 2, b"sec-websocket-version: 12", no_version),
        ("no number for a version", 2, b"sec-websocket-version: x", no_version),
        ("a key of 1 MB", 3, b"sec-websocket-key: " + b"A" * 1_000_000, (Told(status=431),)),
        ("to be upgraded to h2c", 1, b"upgrade: h2c", no_method),
    ):  # fmt: skip
        lines = list(_HANDSHAKE)
        lines[at] = value
        yield knock(name, *lines, expected=told)
    yield knock("a key that is too short", *_HANDSHAKE[:3], b"sec-websocket-key: AA==", expected=opened)
    for name, value in {
        "above ASCII": b"\xff\xfe", "in UTF-8": "protokoll-\u00fc".encode(), "of 8 KB": b"a" * 8_000,
        "in thousands": b"a," * 4_000 + b"b", "empty": b"",
        "with spaces": b"a b", "of nothing but commas": b"," * 1_000,
    }.items():  # fmt: skip
        # The first of these ended the worker in an earlier Granian (CVE-2026-42544)
        yield knock(f"a subprotocol {name}", *_HANDSHAKE, b"sec-websocket-protocol: " + value, expected=opened)
    for name, value in {
        "unknown": b"x; y=z",
        "that packs": b"permessage-deflate; client_max_window_bits=99",
        "in thousands": b"x," * 4_000 + b"y",
    }.items():
        yield knock(f"an extension {name}", *_HANDSHAKE, b"sec-websocket-extensions: " + value, expected=opened)
    yield knock("where there is nothing", *_HANDSHAKE, line=b"GET /wss HTTP/1.1", expected=(Told(status=403),))


def _frames() -> Iterator[Case]:
    broken = BROKEN
    yield session("frame: not masked", masked(_TEXT, b"{}", mask=False), told=broken)
    for opcode in (3, 7, 11, 15):
        yield session(f"frame: opcode {opcode}", masked(opcode, b"x"), told=broken)
    for bit in (1, 2, 4):
        yield session(f"frame: reserved bit {bit}", masked(_SOUND, bytes(10), reserved=bit), told=broken)
    yield session("frame: goes on with nothing", masked(0, b"x"), told=broken)
    yield session("frame: a second message within the first", masked(_TEXT, b"{", fin=False), masked(_TEXT, b"}"), told=broken)
    for name, opcode in (("close", _CLOSE), ("ping", _PING), ("pong", _PONG)):
        yield session(f"frame: a {name} in two", masked(opcode, b"", fin=False), told=broken)
        yield session(f"frame: a {name} of 126 bytes", masked(opcode, b"\3\xe8" + b"x" * 124), told=broken)
    for name, length in (("2^63", 2**63), ("2^64-1", 2**64 - 1), ("2^40", 2**40), ("17 MiB", 17 * _MIB)):
        yield session(f"frame: claims {name} bytes", masked(_SOUND, b"x", length=length), told=broken)
    yield session("frame: 16 MiB and a byte", lambda: masked(_SOUND, bytes(16 * _MIB + 1)), told=broken)
    yield session("frame: a length in more bytes than it needs", masked(_SOUND, b"", wide=True), FINISH, told=FINISHED)
    yield session("frame: random bytes", bytes(range(256)) * 20, told=broken)
    yield session("frame: a request instead", b"GET /healthz HTTP/1.1\r\nhost: any\r\n\r\n", told=broken)
    yield session("frame: a pong that nobody asked for", masked(_PONG, b"x"), sound(), FINISH, told=SAID)
    yield session("frame: 1,000 pings", *([masked(_PING, b"x" * 125)] * 1_000), sound(), FINISH, told=SAID)
    yield session(
        "frame: empty ones without end, then the last",
        masked(_SOUND, b"", fin=False),
        *([masked(0, b"", fin=False)] * 5_000),
        masked(0, b""),
        FINISH,
        told=FINISHED,
    )
    yield session(
        "frame: a message in 5,000",
        masked(_TEXT, b"{", fin=False),
        *([masked(0, b" ", fin=False)] * 5_000),
        masked(0, b'"type":"finish"}'),
        told=FINISHED,
    )
    yield session(
        "frame: a message in eight bytes and in order",
        masked(_TEXT, b'{"type":"fin', fin=False),
        masked(_PING, b""),
        masked(0, b'ish"}'),
        told=FINISHED,
    )
    for name, code, expected in (
        ("1000", b"\3\xe8", FINISHED), ("none", b"", Closed(code=1005)), ("half a code", b"\3", broken),
        ("0", b"\0\0", broken), ("999", b"\3\xe7", broken),
        ("1005", b"\3\xed", broken), ("1006", b"\3\xee", broken), ("65,535", b"\xff\xff", broken),
        ("a reason that is no UTF-8", b"\3\xe8\xff\xfe", broken),
    ):  # fmt: skip
        yield session(f"close: {name}", masked(_CLOSE, code), told=expected)


def _messages() -> Iterator[Case]:
    for name, data in (
        ("bytes that are none", b"\xff\xfe"),
        ("half a sign", b"\xe2\x82"),
        ("half a surrogate", b"\xed\xa0\x80"),
        ("too long", b"\xc0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
    ):
        yield session(f"UTF-8: {name}", masked(_TEXT, data), told=BROKEN)
    yield session("UTF-8: half a sign, in two frames", masked(_TEXT, b"\xe2\x82", fin=False), masked(0, b"\x28"), told=BROKEN)
    bad = (("invalid_value", None),)
    for name, data in {
        "no JSON": b"hello", "empty": b"", "a number": b"1", "a list": b"[]", "null": b"null",
        "half an object": b'{"type": "finish"', "100,000 brackets": b"[" * 100_000,
        "100,000 objects": b'{"a":' * 40_000, "NUL": b"\0", "256 KiB and more": b'{"x": "' + b"y" * 300_000 + b'"}',
        "NaN": b'{"silence_ms": NaN}', "the sound": b"UklGRg==",
        "5 MB of spaces": b" " * 5_000_000,
    }.items():  # fmt: skip
        yield session(
            f"text: {name}", masked(_TEXT, data), sound(), FINISH, told=Closed(code=1000, errors=bad, hears="the sentence")
        )
    surrogate = masked(_TEXT, b'{"type": "\\ud800"}')
    yield session(
        "text: half a surrogate, escaped", surrogate, sound(), FINISH, told=Closed(code=1000, errors=bad, hears="the sentence")
    )
    twice = masked(_TEXT, b'{"type": "commit", "type": "finish"}')
    yield session("text: a member twice", sound(), twice, told=SAID)
    for kind in ("stop", "", "FINISH", "finish\0", "__proto__", 1, None, ["finish"], {"finish": 1}, "t" * 100_000):
        told = Closed(code=1000, errors=(("invalid_value", "type"),), hears="the sentence")
        yield session(f"type: {str(kind)[:20]!a}", text({"type": kind}), sound(), FINISH, told=told)
    yield session(
        "commits of nothing, 100 times", *([text({"type": "commit"})] * 100), FINISH, told=Closed(code=1000, errors=bad * 100)
    )
    yield session("clears 1,000 times", *([text({"type": "clear"})] * 1_000), sound(), FINISH, told=SAID)
    yield session("goes on after its end", sound(), FINISH, *([sound()] * 5), FINISH, told=SAID)
    yield session(
        "begins again in the middle",
        sound(),
        text({"type": "start", "sample_rate": 8_000}),
        FINISH,
        told=Closed(code=1000, errors=(("invalid_value", "type"),), hears="the sentence"),
    )
    large = Closed(code=1009, errors=(("message_too_large", None),))
    yield session("22 MiB in two frames", lambda: in_frames(_SOUND, bytes(22 * _MIB), 11 * _MIB), told=large)
    yield session("22 MiB of text", lambda: in_frames(_TEXT, b" " * 22 * _MIB, 11 * _MIB), told=large)
    yield session("70 MiB in seven frames", lambda: in_frames(_SOUND, bytes(70 * _MIB), 10 * _MIB), told=BROKEN)


def _choices() -> Iterator[Case]:
    for name, value in (
        ("sample_rate", "0"), ("sample_rate", "-1"), ("sample_rate", "1e9"), ("sample_rate", "9" * 5_000), ("encoding", "mp3"),
        ("encoding", "%00"), ("encoding", "../x"),
        ("partials", "2"), ("silence_ms", "0"), ("silence_ms", "1e400"), ("threshold", "nan"), ("threshold", "inf"),
        ("prefix_ms", "-0.1"), ("endpointing", "%ff%fe"),
    ):  # fmt: skip
        told = Closed(code=1008, errors=(("invalid_value", name),))
        yield session(f"query: {name}={value[:10]}", told=told, query=f"?{name}={value}")
    yield session(
        "query: keywords of 101 letters",
        told=Closed(code=1008, errors=(("invalid_value", "keywords"),)),
        query="?keywords=" + "k" * 101,
    )
    yield session(
        "query: 101 keywords",
        told=Closed(code=1008, errors=(("invalid_value", "keywords"),)),
        query="?" + "&".join(f"keywords=k{i}" for i in range(101)),
    )
    yield session(
        "query: 2,000 names that mean nothing", sound(), FINISH, told=SAID, query="?" + "&".join(f"n{i}={i}" for i in range(2_000))
    )
    yield session("query: half an escape", sound(), FINISH, told=SAID, query="?x=%&%=%zz&&&===")
    foreign = Closed(code=1008, errors=(("origin_not_allowed", None),))
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "x" * 4_000):
        yield case(f"origin: {origin[:20]}", partial(Session, path="/ws", headers=(("origin", origin),), pieces=[]), foreign)


def _sounds() -> Iterator[Case]:
    n = 3 * MODEL_RATE_HZ
    floating = "?encoding=pcm_f32le"
    for name, value in {"NaN": np.nan, "Inf": np.inf, "1e38": 1e38, "denormals": 1e-40}.items():
        data = np.full(n, value, "<f4").tobytes()
        yield session(f"sound: nothing but {name}", masked(_SOUND, data), FINISH, told=FINISHED, query=floating)
        spoiled = sentence().astype("<f4")
        spoiled[::4_001] = value
        said = FINISHED if value == 1e38 else SAID
        yield session(
            f"sound: the sentence with {name} in it", masked(_SOUND, spoiled.tobytes()), FINISH, told=said, query=floating
        )
    yield session("sound: silence of 60 s", sound(60), FINISH, told=Closed(code=1000, hears="nothing"))
    yield session("sound: random bytes", masked(_SOUND, np.random.default_rng(1).bytes(200_000)), FINISH, told=FINISHED)
    yield session("sound: half a sample at the end", masked(_SOUND, shorts(sentence()) + b"\1"), FINISH, told=SAID)
    yield session(
        "sound: a byte in each frame", *(masked(_SOUND, shorts(sentence())[i : i + 1]) for i in range(1_500)), FINISH, told=FINISHED
    )
    yield session("sound: none, in 1,000 frames", *([masked(_SOUND, b"")] * 1_000), sound(), FINISH, told=SAID)
    yield session("sound: a whole file", masked(_SOUND, b"RIFF" + shorts(sentence())), FINISH, told=SAID)
    yield session("sound: 10 minutes at once", lambda: sound(300) * 2, sound(), FINISH, told=SAID, within_s=120)

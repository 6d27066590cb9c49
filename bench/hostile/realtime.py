"""Events that are none, and sessions that want what there is not, on `/v1/realtime`."""

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from app.domain.audio import MODEL_RATE_HZ

from .case import Case, Closed, Session, case
from .sockets import in_frames, masked, session, text
from .sounds import sentence, shorts

_PATH: Final = "/v1/realtime"
_TEXT, _BINARY, _CLOSE = 1, 2, 8
_MIB: Final = 2**20
_LEAVE: Final = masked(_CLOSE, b"\3\xe8")


def _append(data: bytes) -> bytes:
    return text({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})


def _told(*errors: tuple[str, str | None]) -> Closed:
    return Closed(code=1000, errors=errors)


def _event(name: str, data: bytes, code: str, param: str | None = None) -> Case:
    return session(f"event: {name}", masked(_TEXT, data), _LEAVE, told=_told((code, param)), path=_PATH)


def _update(name: str, change: object, code: str, param: str) -> Case:
    return session(
        f"session: {name}", text({"type": "session.update", "session": change}), _LEAVE, told=_told((code, param)), path=_PATH
    )


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _events()
    yield from _audio()
    yield from _sessions()
    yield from _entries()


def _events() -> Iterator[Case]:
    for name, data in {
        "no JSON": b"hello", "empty": b"", "a number": b"1", "a list": b"[]", "null": b"null", "100,000 brackets": b"[" * 100_000,
        "100,000 objects": b'{"a":' * 100_000,
        "5 MB of spaces": b" " * 5_000_000, "NaN": b'{"type": NaN}', "half a surrogate": b'{"type": "\\ud800"}',
        "5 MB of brackets": b"[" * 5_000_000,
    }.items():  # fmt: skip
        yield _event(name, data, "invalid_event")
    for kind in ("", "session.delete", "session.update\0", "__class__", "t" * 100_000, "\u202e"):
        yield _event(f"type {kind[:20]!a}", json.dumps({"type": kind}).encode(), "invalid_event", "type")
    for no_text in (1, None, ["session.update"], {"a": 1}):
        yield _event(f"type {no_text}", json.dumps({"type": no_text}).encode(), "invalid_event", "type")
    for kind in ("response.create", "conversation.item.create", "conversation.item.truncate", "output_audio_buffer.clear"):
        yield _event(kind, json.dumps({"type": kind}).encode(), "unsupported_value", "type")
    yield _event("an id of 100 KB", json.dumps({"type": "x", "event_id": "e" * 100_000}).encode(), "invalid_event", "type")
    yield _event("an id that is none", json.dumps({"type": "x", "event_id": {"a": 1}}).encode(), "invalid_event", "type")
    yield session(
        "event: in a binary frame, no UTF-8",
        masked(_BINARY, b'{"type": "\xff"}'),
        _LEAVE,
        told=_told(("invalid_event", None)),
        path=_PATH,
    )
    yield session(
        "event: sound as it is", masked(_BINARY, shorts(sentence())), _LEAVE, told=_told(("invalid_event", None)), path=_PATH
    )
    empty = text({"type": "input_audio_buffer.commit"})
    yield session(
        "event: commits nothing, 50 times",
        *([empty] * 50),
        _LEAVE,
        told=_told(*([("input_audio_buffer_commit_empty", None)] * 50)),
        path=_PATH,
    )
    yield session(
        "event: clears 1,000 times", *([text({"type": "input_audio_buffer.clear"})] * 1_000), _LEAVE, told=_told(), path=_PATH
    )


def _audio() -> Iterator[Case]:
    values: tuple[object, ...] = (None, 1, [], "!!!!", "AAA", "AA==AAAA", "-_-_", "AAAA AAAA", "\u00e4\u00f6")
    for value in values:
        data = json.dumps({"type": "input_audio_buffer.append", "audio": value}).encode()
        yield _event(f"audio: {value!a}", data, "invalid_value", "audio")
    yield _event("audio: half a surrogate", b'{"type": "input_audio_buffer.append", "audio": "\\ud800"}', "invalid_event")
    yield session("event: audio: 15 MiB and three bytes", _too_much, _LEAVE, told=_told(("invalid_value", "audio")), path=_PATH)
    yield session("event: audio: nothing, 1,000 times", *([_append(b"")] * 1_000), _LEAVE, told=_told(), path=_PATH)
    yield session("event: audio: a byte, 1,001 times", *([_append(b"\1")] * 1_001), _LEAVE, told=_told(), path=_PATH)
    large = Closed(code=1009, errors=(("message_too_large", None),))
    yield session("22 MiB in two frames", lambda: in_frames(_TEXT, b" " * 22 * _MIB, 11 * _MIB), told=large, path=_PATH)


def _too_much() -> bytes:
    event = b'{"type": "input_audio_buffer.append", "audio": "' + base64.b64encode(bytes(15 * _MIB + 3)) + b'"}'
    return in_frames(_TEXT, event, 10 * _MIB)


def _sessions() -> Iterator[Case]:
    yield _update("no object", [], "invalid_value", "session")
    yield _update("null", None, "invalid_value", "session")
    for place, value, code in (
        ("type", "realtime", "invalid_value"), ("type", {}, "invalid_value"), ("include", "x", "invalid_value"),
        ("include", ["x" * 10_000], "invalid_value"),
        ("audio", 1, "invalid_value"), ("audio.input", [], "invalid_value"), ("audio.output", {}, "unknown_parameter"),
        ("tools", [], "unknown_parameter"),
        ("audio.input.format", "pcm16", "invalid_value"), ("audio.input.format.type", "audio/mp3", "invalid_value"),
        ("audio.input.format.rate", 0, "invalid_value"),
        ("audio.input.format.rate", 10**30, "invalid_value"), ("audio.input.format.rate", 24_000.5, "invalid_value"),
        ("audio.input.format.channels", 1_024, "unknown_parameter"),
        ("audio.input.transcription.model", "../../x", "model_not_found"),
        ("audio.input.transcription.model", "m" * 100_000, "model_not_found"),
        ("audio.input.transcription.language", "xx", "invalid_value"), ("audio.input.transcription.language", 1, "invalid_value"),
        ("audio.input.transcription.languages", ["xx"], "invalid_value"),
        ("audio.input.transcription.keywords", ["k" * 101], "invalid_value"),
        ("audio.input.transcription.keywords", [f"k{i}" for i in range(101)], "invalid_value"),
        ("audio.input.transcription.prompt", "p" * 16_385, "invalid_value"),
        ("audio.input.transcription.delay", "none", "invalid_value"), ("audio.input.noise_reduction.strength", -1, "invalid_value"),
        ("audio.input.turn_detection.type", "none", "invalid_value"),
        ("audio.input.turn_detection.threshold", 1.1, "invalid_value"),
        ("audio.input.turn_detection.threshold", "0.5", "invalid_value"),
        ("audio.input.turn_detection.silence_duration_ms", -1, "invalid_value"),
        ("audio.input.turn_detection.silence_duration_ms", 10**18, "invalid_value"),
        ("audio.input.turn_detection.prefix_padding_ms", 2_001, "invalid_value"),
        ("audio.input.turn_detection.idle_timeout_ms", 1, "invalid_value"),
        ("audio.input.turn_detection.__proto__", {}, "unknown_parameter"),
        ("audio.input.turn_detection.create_response", "yes", "invalid_value"),
    ):  # fmt: skip
        change: object = value
        for name in reversed(place.split(".")):
            change = {name: change}
        yield _update(f"{place} {str(value)[:12]}", change, code, f"session.{place}")
    deep: object = {}
    for _ in range(500):
        deep = {"audio": deep}
    yield _update("500 objects within each other", deep, "unknown_parameter", "session.audio.audio")
    beta = text({"type": "transcription_session.update", "session": {"input_audio_format": "mp3"}})
    yield session(
        "session: a format of the beta's that is none",
        beta,
        _LEAVE,
        told=_told(("invalid_value", "session.input_audio_format")),
        path=_PATH,
    )
    changes = [
        text({"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8_000 + i}}}}})
        for i in range(300)
    ]
    yield session("session: another rate 300 times", *changes, _append(bytes(MODEL_RATE_HZ)), _LEAVE, told=_told(), path=_PATH)


def _entries() -> Iterator[Case]:
    unknown = Closed(code=4000, errors=(("invalid_model", "model"),))
    for model in ("x", "..%2f..%2fx", "%ff%fe", "m" * 5_000, "gpt-realtime%0a", "GPT-REALTIME"):
        yield session(f"model: {model[:16]}", told=unknown, path=_PATH, query=f"?model={model}")
    for origin in ("https://evil.example", "null"):
        foreign = Closed(code=3000, errors=(("origin_not_allowed", None),))
        yield case(f"origin: {origin}", partial(Session, path=_PATH, headers=(("origin", origin),), pieces=[]), foreign)
    wanted = ", ".join(f"p{i}" for i in range(2_000))
    yield case(
        "2,000 subprotocols",
        lambda: Session(path=_PATH, headers=(("sec-websocket-protocol", wanted),), pieces=[_LEAVE]),
        Closed(code=1000),
    )

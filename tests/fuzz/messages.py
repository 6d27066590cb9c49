"""What reads the messages of strangers: forms, and both live protocols without their sockets."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from itertools import count
from typing import Any, Final

import msgspec

from app.domain.errors import FileTooLargeError, InvalidRequestError, SpeechError
from app.entrypoints.errors import body_of_failure
from app.entrypoints.http.form import read_form
from app.entrypoints.http.parameters import (
    FORMATS,
    LONGEST_KEYWORD,
    MOST_KEYWORDS,
    TranscriptionRequest,
    read_format,
    read_temperature,
    read_transcription,
)
from app.entrypoints.websocket.plain_messages import Asked, read_choices, read_message, read_query
from app.entrypoints.websocket.realtime_protocol import Append, Configure, RealtimeProtocol
from app.entrypoints.websocket.realtime_reading import MOST_AUDIO_BYTES, read_event
from app.entrypoints.websocket.realtime_session import live_rules, sound_of
from app.entrypoints.websocket.realtime_updates import RefusedEventError, Served, first_config, updated_config

_SERVED: Final = Served(names=("nvidia/parakeet", "whisper-1"), languages=("en",))
_LONGEST_TOLD: Final = 500  # characters of an error's text
_NAMELESS: Final = frozenset({"invalid_event"})  # of what is no event, there is no member to name
_PLAIN_TYPES: Final = ("start", "commit", "clear", "finish")


def read_body(data: bytes) -> None:
    """A form, whose content type is the first line: in whatever pieces it comes it is the same, or refused in the same words.

    But for what stands before its first boundary, which no client sends: there multipart forgives by the piece.
    """
    whole, pieces = _form(data, len(data)), _form(data, 1 + zlib.crc32(data) % 97)
    kind, _, body = data.partition(b"\n")
    assert whole == pieces or not body.startswith(b"--" + kind.rpartition(b"boundary=")[2])


def _form(data: bytes, n_bytes: int) -> tuple[object, ...]:
    """Return what was read from a form that comes in pieces of `n_bytes`."""
    kind, _, body = data.partition(b"\n")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), n_bytes):
            yield body[at : at + n_bytes]

    async def read() -> tuple[object, ...]:
        headers = {"content-type": kind.decode("latin-1")}
        with await read_form(headers, pieces(), max_upload_mb=1) as form:
            asked = [form.text("model"), read_format(form), read_temperature(form), read_transcription(form, languages=("en",))]
            with form.take_upload() as upload:
                return *asked, upload.read()

    try:
        found = asyncio.run(read())
    except (InvalidRequestError, FileTooLargeError) as refusal:
        return (told(refusal),)
    *_, request, upload = found
    assert isinstance(request, TranscriptionRequest)
    assert isinstance(upload, bytes)
    assert len(upload) <= len(body)
    assert request.answer_format in FORMATS
    assert 0 <= request.temperature <= 1
    check_keywords(request.recognition.keywords)
    if request.chunking and request.chunking.spans:
        assert 0 <= request.chunking.spans.threshold <= 1
    return found


def told(failure: SpeechError) -> dict[str, Any]:
    """Return the error as a client gets it; it is not ours, and not without end."""
    error: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body_of_failure(failure)))["error"]
    assert error["code"] != "internal_error"
    assert 0 < len(error["message"]) <= _LONGEST_TOLD
    assert len(error["param"] or "") <= _LONGEST_TOLD
    return error


def check_keywords(keywords: tuple[str, ...]) -> None:
    assert len(keywords) <= MOST_KEYWORDS
    assert all(0 < len(keyword) <= LONGEST_KEYWORD for keyword in keywords)


def speak_plain(data: bytes) -> None:
    """`/ws`, with a query in the first line and a message in every other: each is done or refused, and choices are in range."""
    query, *messages = data.split(b"\n")
    chosen = read_query(query)
    _choose(chosen)
    for message in messages:
        try:
            kind, members = read_message(message.decode(errors="replace"))
        except InvalidRequestError as refusal:
            told(refusal)
        else:
            assert kind in _PLAIN_TYPES
            _choose({**chosen, **members})


def _choose(chosen: dict[str, Any]) -> None:
    try:
        asked = read_choices(chosen)
    except InvalidRequestError as refusal:
        assert told(refusal)["param"] in Asked.__struct_fields__
        return
    assert 8_000 <= asked.rate_hz <= 48_000
    assert 100 <= asked.silence_ms <= 10_000
    assert 0 <= asked.prefix_ms <= 2_000
    assert 0 < asked.threshold < 1
    check_keywords(asked.keywords)


def speak_realtime(data: bytes) -> None:
    """`/v1/realtime`, an event a line after the dialect: each is done, or refused by name and changes nothing."""
    dialect, *frames = data.split(b"\n")
    numbers = count()
    protocol = RealtimeProtocol(
        first_config(_SERVED),
        _SERVED,
        expires_unix_s=1,
        beta=dialect == b"beta",
        new_id=lambda prefix: f"{prefix}{next(numbers)}",
    )
    msgspec.json.encode(protocol.created())
    for i, frame in enumerate(frames):
        before = protocol.config
        try:
            event = read_event(frame if i % 2 else frame.decode(errors="replace"))
            deed = protocol.react(event)
        except RefusedEventError as refusal:
            assert protocol.config == before
            _check_refused(protocol, refusal)
            continue
        for answer in protocol.did(deed):
            msgspec.json.encode(answer)
        assert not isinstance(deed, Append) or len(deed.data) <= MOST_AUDIO_BYTES
        if isinstance(deed, Configure):
            _check_config(protocol)


def _check_refused(protocol: RealtimeProtocol, refusal: RefusedEventError) -> None:
    error = msgspec.json.decode(msgspec.json.encode(protocol.refused(refusal)))["error"]
    assert 0 < len(error["message"]) <= _LONGEST_TOLD
    assert error["param"] or error["code"] in _NAMELESS


def _check_config(protocol: RealtimeProtocol) -> None:
    config = protocol.config
    assert updated_config(config, msgspec.to_builtins(config), _SERVED) == config  # what is told may be sent back
    encoding, rate_hz = sound_of(config)
    assert 8_000 <= rate_hz <= 48_000, encoding
    rules = live_rules(config, longest_s=30)
    check_keywords(rules.options.keywords)
    if rules.spans:
        assert 0 <= rules.spans.threshold <= 1
        assert 0 <= rules.spans.least_silence_s <= 10


def forms() -> Iterable[bytes]:
    """Forms as clients send them, and some that break the rules."""
    kind = b"multipart/form-data; boundary=x\n"
    yield (
        kind
        + _part(b"file", b"RIFF\0\0\0\0WAVE", b'; filename="a.wav"\r\nContent-Type: audio/wav')
        + _part(b"model", b"a")
        + b"--x--\r\n"
    )
    for name, value in (
        (b"response_format", b"verbose_json"),
        (b"timestamp_granularities[]", b"word"),
        (b"include[]", b"logprobs"),
        (b"stream", b"true"),
        (b"temperature", b"0.5"),
        (b"language", b"en-US"),
        (b"keywords[]", b"Zagreb, Split"),
        (b"chunking_strategy", b'{"type": "server_vad", "threshold": 0.4}'),
        (b"chunking_strategy[type]", b"server_vad"),
    ):
        yield kind + _part(name, value) + _part(b"file", b"any", b'; filename="b"') + b"--x--\r\n"
    yield kind + b"--x\r\nContent-Disposition: form-data; name*=utf-8''%66ile; filename*=UTF-8''%e2%82%ac\r\n\r\nany\r\n--x--"
    yield kind + b'--x\r\nContent-Disposition: attachment; name="file\r\n\r\n--x'
    yield b"application/json\n{}"


def _part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"


def plain_talks() -> Iterable[bytes]:
    """Conversations on `/ws`."""
    yield b'sample_rate=8000&encoding=g711_ulaw&partials=true&words=1&keywords=a&keywords[]=b\n{"type":"start"}\n{"type":"finish"}'
    yield b'silence_ms=200&threshold=0.5&prefix_ms=0&endpointing=false\n{"type":"commit"}\n{"type":"clear"}\n{"type":"stop"}'
    yield b'\n{"sample_rate":48000,"encoding":"pcm_f32le","keywords":["Zagreb","\\u010d"],"silence_ms":null,"words":true}\n[]\n1'
    yield b'encoding=pcm_s16le&encoding=opus&prefix_ms=2001\n{"type":"start","threshold":1e-3,"prefix_ms":"7"}\n{"type":1}'


def realtime_talks() -> Iterable[bytes]:
    """Conversations on `/v1/realtime`."""
    yield (
        b'now\n{"type":"session.update","event_id":"a","session":{"type":"transcription","audio":{"input":{"format":{"type":'
        b'"audio/pcm","rate":16000},"transcription":{"model":"whisper-1","language":"en","keywords":["a"],"delay":"low"},'
        b'"noise_reduction":{"type":"near_field"},"turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,'
        b'"silence_duration_ms":200,"idle_timeout_ms":5000}}},"include":["item.input_audio_transcription.logprobs"]}}\n'
        b'{"type":"input_audio_buffer.append","audio":"AAAA"}\n{"type":"input_audio_buffer.commit"}\n'
        b'{"type":"input_audio_buffer.clear","event_id":"b"}'
    )
    yield (
        b'now\n{"type":"session.update","session":{"audio":{"input":{"turn_detection":{"type":"semantic_vad","eagerness":"high"},'
        b'"format":{"type":"audio/pcmu"},"transcription":null}}}}\n{"type":"session.update","session":{"audio":{"input":'
        b'{"turn_detection":null,"format":{"type":"audio/pcma","rate":8000},"transcription":{"languages":["de","en"],"prompt":"x"}}}}}'
    )
    yield (
        b'beta\n{"type":"transcription_session.update","session":{"input_audio_format":"g711_ulaw","input_audio_transcription":'
        b'{"model":"gpt-4o-transcribe"},"turn_detection":{"type":"server_vad"},"input_audio_noise_reduction":{"type":"far_field"},'
        b'"include":[],"modalities":["text"]}}\n{"type":"response.create","event_id":"c"}\n{"type":"conversation.item.create"}'
    )
    yield b'now\n{"type":"input_audio_buffer.append","audio":"A"}\n{"event_id":7}\n[1]\n{"type":"session.update"}\n\xff'

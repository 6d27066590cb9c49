"""Real speech over real sockets to `/ws`: compared with what was said, and with what the service writes of the same file."""

import asyncio
import json
import random
import re
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from app.domain.audio import MODEL_RATE_HZ, Samples
from bench.hostile.case import Session
from bench.hostile.exchange import exchanged
from bench.hostile.sockets import masked
from tests.recordings import MOST_ERRORS, Recording, concatenated, encode, recordings, word_error_rate
from tests.service import Service

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 60.0
MOST_APART: Final = 0.05  # word error rate between live text and the file's, which are cut in other places; 0.0 measured
SOUNDS: Final[dict[str, tuple[str, str, int]]] = {
    "pcm_s16le": ("pcm_s16le", "s16le", 16_000),
    "g711_ulaw": ("pcm_mulaw", "mulaw", 8_000),
    "g711_alaw": ("pcm_alaw", "alaw", 8_000),
    "pcm_f32le": ("pcm_f32le", "f32le", 48_000),
}


def raw(samples: Samples, encoding: str = "pcm_s16le") -> bytes:
    codec, container, rate_hz = SOUNDS[encoding]
    return encode(samples, container=container, codec=codec, rate_hz=rate_hz, channels=1)


def opened(service: Service, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"{service.url.replace('http', 'ws', 1)}/ws?{query}", open_timeout=PATIENCE_S, **options)


def rest_of(socket: Connection) -> tuple[list[dict[str, Any]], ConnectionClosed]:
    """Read until the server closes."""
    messages: list[dict[str, Any]] = []
    while True:
        try:
            messages.append(json.loads(socket.recv(PATIENCE_S)))
        except ConnectionClosed as closed:
            return messages, closed


def stream(
    service: Service, sound: bytes, query: str = "", *, frame_bytes: int = 640, every_s: float = 0.0
) -> list[dict[str, Any]]:
    """Send sound in frames, by the clock if `every_s`, and finish; return everything that was told."""
    with opened(service, query) as socket, ThreadPoolExecutor(1) as pool:
        told = pool.submit(rest_of, socket)  # reads while we send, as any client must
        due_s = time.monotonic()
        for at in range(0, len(sound), frame_bytes):
            socket.send(sound[at : at + frame_bytes])
            if every_s:
                due_s += every_s
                time.sleep(max(0.0, due_s - time.monotonic()))
        socket.send('{"type": "finish"}')
        messages, closed = told.result()
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1000
    assert messages[-1] == {"status": "finished"}
    return messages


def text_of(messages: list[dict[str, Any]]) -> str:
    """Join the finals, after checking that each utterance was queued once and told once, in order."""
    finals = [message for message in messages if message.get("final")]
    assert [message["utterance"] for message in finals] == list(range(1, len(finals) + 1))
    assert sum(message == {"status": "queued"} for message in messages) == len(finals)
    for before, after in pairwise(finals):
        assert before["end"] <= after["start"] + 0.001
    return " ".join(message["text"] for message in finals if message["text"])


def file_text(client: httpx.Client, samples: Samples, encoding: str) -> str:
    codec, _, rate_hz = SOUNDS[encoding]
    data = encode(samples, container="wav", codec=codec, rate_hz=rate_hz, channels=1)
    answer = client.post("/v1/audio/transcriptions", files={"file": ("speech.wav", data)})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return text


def numbers_of(service: Service, headers: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Open live sessions, and clips that wait."""
    text = httpx.get(f"{service.url}/metrics", headers=dict(headers or {})).text
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return found["stt_live_sessions"], found["stt_queue_items"]


def wait_until_nothing_is_left(service: Service) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while numbers_of(service) != (0, 0):
        assert time.monotonic() < deadline_s, numbers_of(service)
        time.sleep(0.05)


@pytest.mark.parametrize("encoding", SOUNDS)
def test_speech_is_written_as_of_a_file(service: Service, client: httpx.Client, encoding: str) -> None:
    said, live, whole = [], [], []
    for recording in recordings():
        rate_hz = SOUNDS[encoding][2]
        query = f"encoding={encoding}&sample_rate={rate_hz}"
        live.append(text_of(stream(service, raw(recording.samples, encoding), query, frame_bytes=1_999)))
        whole.append(file_text(client, recording.samples, encoding))
        said.append(recording.text)
    assert word_error_rate(" ".join(whole), " ".join(live)) < MOST_APART
    if SOUNDS[encoding][2] >= MODEL_RATE_HZ:  # the bundled model was not taught the telephone's narrow band
        assert word_error_rate(" ".join(said), " ".join(live)) < MOST_ERRORS


def test_words_are_told_at_the_times_they_were_said(service: Service) -> None:
    three = recordings()[:3]
    messages = stream(service, raw(concatenated(three, gap_s=1.5)), "words=1&silence_ms=1000")
    text_of(messages)
    finals = [message for message in messages if message.get("final")]
    start_s = 0.0
    for message, recording in zip(finals, three, strict=True):
        assert " ".join(word["word"] for word in message["words"]) == message["text"]
        assert message["start"] - 0.001 <= message["words"][0]["start"]
        assert message["words"][-1]["end"] <= message["end"] + 0.001
        for word in message["words"]:
            assert start_s - 0.1 <= word["start"] <= word["end"] <= start_s + recording.duration_s + 0.3
            assert 0 < word["probability"] <= 1
        start_s += recording.duration_s + 1.5


def test_words_are_told_while_they_are_spoken(service: Service) -> None:
    recording = recordings()[3]
    messages = stream(service, raw(recording.samples), "partials=1", every_s=0.06)  # of 20 ms: any machine hears on meanwhile
    told: dict[int, list[dict[str, Any]]] = {}
    for message in messages:
        if "text" in message:
            told.setdefault(message["utterance"], []).append(message)
    assert sum(len(texts) for texts in told.values()) >= 4
    for *partials, final in told.values():
        assert final["final"]
        assert not any(partial["final"] for partial in partials)
        stable = ""
        for partial in partials:
            assert partial["stable"].startswith(stable)
            assert partial["stable"] + partial["tentative"] == partial["text"]
            stable = partial["stable"]
        assert final["text"].startswith(stable)


def test_thirty_two_sessions_of_which_half_are_killed_each_get_their_own_words(service: Service) -> None:
    """As many as may be open by default: sixteen speakers are heard to their ends, the others vanish at random moments."""
    heard, killed = recordings()[:16], (recordings()[16:] * 2)[:16]
    dice = random.Random(32)  # noqa: S311

    def listen(recording: Recording) -> str:
        return text_of(stream(service, raw(recording.samples), frame_bytes=3_200, every_s=0.02))

    def vanish(recording: Recording, share: float) -> None:
        sound = raw(recording.samples)
        with suppress(ConnectionClosed):
            socket = opened(service, "partials=1")
            for at in range(0, round(share * len(sound)), 3_200):
                socket.send(sound[at : at + 3_200])
                time.sleep(0.02)
            socket.close_socket()

    alone = [listen(recording) for recording in heard]
    with ThreadPoolExecutor(32) as pool:
        vanishing = [pool.submit(vanish, recording, dice.random()) for recording in killed]
        together = list(pool.map(listen, heard))
        for one in vanishing:
            one.result()
    wait_until_nothing_is_left(service)
    assert together == alone
    assert len(set(alone)) == 16


def test_one_message_may_hold_minutes(service: Service) -> None:
    sound = concatenated(recordings()[:12], gap_s=1.0)
    assert text_of(stream(service, raw(sound), frame_bytes=10_000_000)) == text_of(stream(service, raw(sound)))


def test_bad_messages_are_told_of_and_the_session_goes_on(service: Service) -> None:
    with opened(service) as socket:
        for message in ("no json", '{"type": "stop"}', '{"sample_rate": 1}', '{"type": "commit"}'):
            socket.send(message)
        errors = [json.loads(socket.recv(PATIENCE_S))["error"] for _ in range(4)]
        assert [error["param"] for error in errors] == [None, "type", "sample_rate", None]
        socket.send(raw(recordings()[0].samples))
        socket.send('{"type": "finish"}')
        messages, _ = rest_of(socket)
    assert text_of(messages)


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
@pytest.mark.parametrize(
    "frame",
    [masked(3, b"x"), masked(1, b"{}", mask=False), masked(1, b"\xff\xfe"), masked(2, b"x", length=17 << 20)],
    ids=["opcode", "unmasked", "no-utf-8", "too-large"],
)
def test_frames_that_break_the_protocol_are_answered_with_1002(service: Service, frame: bytes, path: str) -> None:
    got = asyncio.run(exchanged(service.url, Session(path=path, pieces=[frame])))
    assert got.close == 1002


def test_clients_that_vanish_leave_nothing_behind(service: Service) -> None:
    """Their sockets are cut without a word, at any moment."""
    sound = raw(recordings()[0].samples)

    def vanish(i: int) -> None:
        socket = opened(service, f"partials={i % 2}")
        socket.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of a farewell
        socket.send(sound[: (i % 10) * len(sound) // 9])
        if i % 3 == 0:
            socket.send('{"type": "finish"}')
        if i % 4 == 0:
            socket.recv(PATIENCE_S) if i % 3 == 0 else None
        socket.close_socket()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(vanish, range(80)))
    wait_until_nothing_is_left(service)
    assert "never retrieved" not in service.log
    assert "live_session_failed" not in service.log
    assert text_of(stream(service, sound))


@pytest.mark.parametrize("document", ["README.md", "docs/live.md"])
def test_the_example_in_the_documents_runs(service: Service, document: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "/ws" in block]
    code = example.replace("ws://127.0.0.1:8000", service.url.replace("http", "ws", 1))
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    queued, told, finished = ran.stdout.splitlines()
    assert "queued" in queued
    assert "Hollow there, it is" in told  # as the documents show it
    assert "finished" in finished

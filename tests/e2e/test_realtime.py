"""OpenAI's own Python client on `/v1/realtime`, in both dialects: real speech over real sockets, every event in its place."""

import base64
import json
import socket as sockets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from app.domain.audio import Samples
from tests.recordings import MOST_ERRORS, encode, recordings, resampled, word_error_rate
from tests.service import Service

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 120.0
RATE_HZ: Final = 24_000
MOST_APART: Final = 0.25  # word error rate between live text and the file's; the bundled model is that unsure where clips are cut
TRANSCRIPT: Final = "conversation.item.input_audio_transcription"
ITEM: Final = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
BETA_ITEM: Final = ["input_audio_buffer.committed", "conversation.item.created"]
SPOKEN: Final = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
SLOW_S: Final = 0.15  # between pieces of 50 ms: the slowest machine hears on in the meantime
PAUSE_S: Final = 1.0
Told = dict[str, Any]


@pytest.fixture(scope="module")
def official(service: Service) -> Iterator[openai.OpenAI]:
    base_url, socket_url = f"{service.url}/v1", f"{service.url.replace('http', 'ws', 1)}/v1"
    with openai.OpenAI(base_url=base_url, websocket_base_url=socket_url, api_key="any", max_retries=0) as opened:
        yield opened


@pytest.fixture
def connection(official: openai.OpenAI) -> Iterator[Any]:
    with official.realtime.connect(extra_query={"intent": "transcription"}) as opened:
        yield opened


def raw(samples: Samples) -> bytes:
    return np.asarray(np.round(resampled(samples, rate_hz=RATE_HZ).clip(-1, 1) * 32_767), "<i2").tobytes()


def followed_by_a_pause(samples: Samples) -> bytes:
    return raw(samples) + bytes(round(PAUSE_S * RATE_HZ) * 2)


def speak(connection: Any, sound: bytes, *, piece_ms: int = 50, every_s: float = 0.0) -> None:
    """Append sound in pieces, by the clock if `every_s`."""
    n_bytes, due_s = piece_ms * RATE_HZ // 1000 * 2, time.monotonic()
    for at in range(0, len(sound), n_bytes):
        connection.input_audio_buffer.append(audio=base64.b64encode(sound[at : at + n_bytes]).decode())
        if every_s:
            due_s += every_s
            time.sleep(max(0.0, due_s - time.monotonic()))


def listen(connection: Any) -> list[Told]:
    """Read until all sound was heard, which the answer to a `clear` tells, and every item has ended."""
    told: list[Told] = []
    while True:
        told.append(connection.recv().to_dict())
        kinds = [event["type"] for event in told]
        ended = kinds.count(f"{TRANSCRIPT}.completed") + kinds.count(f"{TRANSCRIPT}.failed")
        if "input_audio_buffer.cleared" in kinds and ended == kinds.count("input_audio_buffer.committed"):
            return told


def converse(connection: Any, say: Callable[[], None]) -> list[Told]:
    """Say something and clear what is left of it; return everything that was told until all of it was."""
    with ThreadPoolExecutor(1) as pool:
        hearing = pool.submit(listen, connection)  # reads while we send, as any client must
        say()
        connection.input_audio_buffer.clear()
        return hearing.result(PATIENCE_S)


def texts(told: Sequence[Told]) -> list[str]:
    return [event["transcript"] for event in told if event["type"] == f"{TRANSCRIPT}.completed"]


def check(told: Sequence[Told], *, item: Sequence[str], by_voice: bool = True) -> None:
    """Check that every event is one of an item's, in the documented order, in one chain, and that deltas are the transcript."""
    assert len({event["event_id"] for event in told}) == len(told)
    by_item: dict[str, list[Told]] = {}
    for event in told:
        name = event.get("item_id") or event.get("item", {}).get("id")
        if name is None:
            assert event["type"].split(".")[-1] in ("created", "updated", "cleared")
        else:
            by_item.setdefault(name, []).append(event)
    previous = None
    for event in told:
        if event["type"] == ITEM[0]:
            assert event["previous_item_id"] == previous
            previous = event["item_id"]
        elif "item" in event:
            assert event["item"]["id"] == previous
    for events in by_item.values():
        kinds = [event["type"] for event in events]
        deltas = [event["delta"] for event in events if event["type"] == f"{TRANSCRIPT}.delta"]
        whole = [*(SPOKEN if by_voice else ()), *item, f"{TRANSCRIPT}.completed"]
        assert [kind for kind in kinds if kind != f"{TRANSCRIPT}.delta"] == whole
        assert not by_voice or kinds[0] == SPOKEN[0]
        assert kinds[-1] == f"{TRANSCRIPT}.completed"
        assert "".join(deltas) == events[-1]["transcript"]
        assert events[-1]["usage"]["type"] == "duration"
        if by_voice:
            assert 0 <= events[0]["audio_start_ms"] < next(one for one in events if one["type"] == SPOKEN[1])["audio_end_ms"]


def file_text(client: httpx.Client, samples: Samples) -> str:
    data = encode(samples, container="wav", codec="pcm_s16le", rate_hz=RATE_HZ, channels=1)
    answer = client.post("/v1/audio/transcriptions", files={"file": ("speech.wav", data)})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return text


def open_sessions(service: Service) -> float:
    text = httpx.get(f"{service.url}/metrics").text
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return found["stt_live_sessions"]


def wait_until_nobody_is_left(service: Service) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while open_sessions(service):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_speech_is_written_as_of_a_file(connection: Any, client: httpx.Client) -> None:
    said, whole = [], []
    connection.session.update(
        session={
            "type": "transcription",
            "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}},
        }
    )
    told: list[Told] = []
    for recording in recordings():
        sound = followed_by_a_pause(recording.samples)
        told += converse(connection, lambda sound=sound: speak(connection, sound))  # type: ignore[misc]
        whole.append(file_text(client, recording.samples))
        said.append(recording.text)
    check(told, item=ITEM)
    spoken = " ".join(text for text in texts(told) if text)
    print("said/live", word_error_rate(" ".join(said), spoken), "said/file", word_error_rate(" ".join(said), " ".join(whole)))
    print("file/live", word_error_rate(" ".join(whole), spoken))
    assert word_error_rate(" ".join(whole), spoken) < MOST_APART
    assert word_error_rate(" ".join(said), spoken) < MOST_ERRORS


def test_words_are_told_while_they_are_spoken(connection: Any) -> None:
    recording = recordings()[3]
    told = converse(connection, lambda: speak(connection, followed_by_a_pause(recording.samples), every_s=SLOW_S))
    check(told, item=ITEM)
    kinds = [event["type"] for event in told]
    assert kinds.index(f"{TRANSCRIPT}.delta") < kinds.index(SPOKEN[1])
    assert kinds.count(f"{TRANSCRIPT}.delta") > kinds.count(f"{TRANSCRIPT}.completed")


def test_the_first_events_are_the_session_as_it_is_and_as_it_is_set(connection: Any) -> None:
    created = connection.recv()
    assert created.type == "session.created"
    assert type(created.session).__name__ == "RealtimeTranscriptionSessionCreateRequest"
    assert created.to_dict()["session"]["expires_at"] == pytest.approx(time.time() + 3_600, abs=30)
    connection.session.update(
        session={"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}}},
        event_id="mine",
    )
    updated = connection.recv()
    assert updated.type == "session.updated"
    assert updated.session.audio.input.transcription.model == "whisper-1"
    assert updated.session.audio.input.turn_detection.silence_duration_ms == 200
    connection.session.update(
        session={"type": "transcription", "audio": {"input": {"transcription": {"language": "de"}}}}, event_id="x"
    )
    error = connection.recv()
    assert (error.type, error.error.event_id, error.error.param) == ("error", "x", "session.audio.input.transcription.language")


def test_an_utterance_ends_by_commit_where_nothing_else_ends_it(connection: Any, client: httpx.Client) -> None:
    connection.session.update(session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
    first, second = recordings()[0], recordings()[1]

    def say() -> None:
        for recording in (first, second):
            speak(connection, raw(recording.samples))
            connection.input_audio_buffer.commit()

    told = converse(connection, say)
    check(told, item=ITEM, by_voice=False)
    assert len(texts(told)) == 2
    for recording, text in zip((first, second), texts(told), strict=True):
        assert word_error_rate(file_text(client, recording.samples), text) < MOST_APART
    seconds = [event["usage"]["seconds"] for event in told if event["type"] == f"{TRANSCRIPT}.completed"]
    assert seconds == pytest.approx([first.duration_s, second.duration_s], abs=0.05)


def test_an_empty_commit_is_told_and_the_session_lives(connection: Any) -> None:
    connection.recv()
    connection.input_audio_buffer.commit(event_id="empty")
    error = connection.recv()
    assert (error.error.code, error.error.event_id) == ("input_audio_buffer_commit_empty", "empty")
    told = converse(connection, lambda: speak(connection, followed_by_a_pause(recordings()[0].samples)))
    check(told, item=ITEM)
    assert texts(told)[0]


def test_the_beta_client_is_answered_in_its_own_dialect(official: openai.OpenAI) -> None:
    with official.beta.realtime.connect(model="gpt-4o-realtime-preview", extra_query={"intent": "transcription"}) as connection:
        connection.transcription_session.update(
            session={
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "whisper-1"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 400},
            }
        )
        told = converse(connection, lambda: speak(connection, followed_by_a_pause(recordings()[0].samples)))
    assert [event["type"] for event in told[:2]] == ["transcription_session.created", "transcription_session.updated"]
    assert told[1]["session"]["turn_detection"]["silence_duration_ms"] == 400
    check(told, item=BETA_ITEM)
    assert any(texts(told))


def test_a_browser_s_subprotocol_is_chosen(service: Service) -> None:
    url = f"{service.url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    with connect(url, subprotocols=["realtime", "openai-insecure-api-key.any"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "realtime"
        assert json.loads(socket.recv(PATIENCE_S))["type"] == "session.created"


def test_15_mib_of_sound_come_in_one_message_of_many_frames(service: Service) -> None:
    """20 MiB of base64: more than a frame may hold, so it comes in parts, as the protocol of WebSockets allows."""
    silence = base64.b64encode(bytes(15 * 1024 * 1024)).decode()
    message = json.dumps({"type": "input_audio_buffer.append", "audio": silence})
    url = f"{service.url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    with connect(url) as socket:
        socket.send('{"type": "session.update", "session": {"audio": {"input": {"turn_detection": null}}}}')
        socket.send(message[at : at + 1_048_576] for at in range(0, len(message), 1_048_576))
        socket.send('{"type": "input_audio_buffer.commit"}')
        while (event := json.loads(socket.recv(PATIENCE_S)))["type"] != f"{TRANSCRIPT}.completed":
            assert event["type"] != "error", event
    assert event["usage"]["seconds"] > 300


def test_a_frame_of_15_mib_is_taken(service: Service) -> None:
    url = f"{service.url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    with connect(url) as socket:
        socket.recv(PATIENCE_S)
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * (15 * 1024 * 1024)}))
        socket.send('{"type": "input_audio_buffer.clear"}')
        assert json.loads(socket.recv(PATIENCE_S))["type"] == "input_audio_buffer.cleared"


def test_another_model_is_told_before_the_close(official: openai.OpenAI) -> None:
    with official.realtime.connect(model="canary") as connection:
        error: Any = connection.recv()
        assert (error.type, error.error.code, error.error.param) == ("error", "invalid_model", "model")
        with pytest.raises(Exception, match="invalid_model") as closed:
            connection.recv()
    assert closed.value.rcvd.code == 4000  # type: ignore[attr-defined]


def test_a_client_that_vanishes_leaves_nothing(service: Service) -> None:
    wait_until_nobody_is_left(service)
    url = f"{service.url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    opened = [connect(url) for _ in range(4)]
    for socket in opened:
        socket.recv(PATIENCE_S)
        audio = base64.b64encode(raw(recordings()[0].samples)).decode()
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    assert open_sessions(service) == 4
    for socket in opened:
        socket.socket.shutdown(sockets.SHUT_RDWR)  # no close frame: as if the network had gone
    wait_until_nobody_is_left(service)


def test_a_minted_secret_opens_a_session_as_it_was_set(official: openai.OpenAI, service: Service) -> None:
    secret = official.realtime.client_secrets.create(
        session={"type": "transcription", "audio": {"input": {"turn_detection": None}}},
        expires_after={"anchor": "created_at", "seconds": 60},
    )
    assert secret.value.startswith("ek_")
    assert secret.expires_at == pytest.approx(time.time() + 60, abs=5)
    page = openai.OpenAI(base_url=f"{service.url}/v1", api_key=secret.value)
    with page, page.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created: Any = connection.recv().to_dict()
        assert created["session"]["audio"]["input"]["turn_detection"] is None
    session = official.beta.realtime.transcription_sessions.create(turn_detection={"type": "server_vad", "threshold": 0.7})
    assert session.client_secret.value.startswith("ek_")
    assert session.turn_detection is not None
    assert session.turn_detection.threshold == 0.7


def test_the_example_of_the_document_works(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    example = (ROOT / "docs/realtime.md").read_text().partition("```python\n")[2].partition("```")[0]
    assert "app/samples/hello.wav" in example
    here = example.replace("http://127.0.0.1:8000", service.url).replace("app/samples", str(ROOT / "app/samples"))
    exec(compile(here, "docs/realtime.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.strip()


def test_sessions_beside_one_another_hear_their_own_sound(official: openai.OpenAI, client: httpx.Client) -> None:
    chosen = recordings()[4:12]

    def hear(samples: Samples) -> str:
        with official.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            connection.session.update(session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})

            def say() -> None:
                speak(connection, raw(samples))
                connection.input_audio_buffer.commit()

            told = converse(connection, say)
        check(told, item=ITEM, by_voice=False)
        return " ".join(texts(told))

    with ThreadPoolExecutor(len(chosen)) as pool:
        live = list(pool.map(hear, [recording.samples for recording in chosen]))
    files = [file_text(client, recording.samples) for recording in chosen]
    for i, text in enumerate(live):
        errors = [word_error_rate(file, text) for file in files]
        assert errors[i] == min(errors)
    print(word_error_rate(" ".join(files), " ".join(live)))
    assert word_error_rate(" ".join(files), " ".join(live)) < MOST_APART
    assert len(set(live)) == len(live)

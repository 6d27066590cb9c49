"""Real speech over a socket to the real service; what comes back is compared with what was said."""

import io
import json
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.ports import DecodeLimits
from tests.recordings import FORMATS, MOST_ERRORS, Recording, concatenated, encode, recordings, word_error_rate
from tests.service import Service


def wav(samples: Samples) -> bytes:
    return encode(samples, container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=1)


def float_wav(samples: Samples) -> bytes:
    return encode(samples, container="wav", codec="pcm_f32le", rate_hz=MODEL_RATE_HZ, channels=1)


def transcribe(client: httpx.Client, data: bytes, **fields: str) -> str:
    answer = client.post("/v1/audio/transcriptions", files={"file": ("speech", data)}, data=fields)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return text


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    return error


@pytest.fixture(scope="module")
def alone(service: Service) -> dict[str, str]:
    """What the service writes for each recording when nothing else is asked of it."""
    with httpx.Client(base_url=service.url, timeout=120) as client:
        return {recording.name: transcribe(client, wav(recording.samples)) for recording in recordings()}


def test_what_was_said_is_written_and_not_into_the_log(service: Service, alone: dict[str, str]) -> None:
    said = " ".join(recording.text for recording in recordings())
    assert word_error_rate(said, " ".join(alone.values())) < MOST_ERRORS
    assert not [text for text in alone.values() if text in service.log]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_heard(client: httpx.Client, name: str) -> None:
    """A file's text is the text of its sound sent plainly; that the sound is the one encoded, the adapter's tests show."""
    data = FORMATS[name].encode(recordings()[1].samples)
    blocks = TorchaudioNormalizer().blocks(io.BytesIO(data), limits=DecodeLimits(max_duration_s=60))
    heard = transcribe(client, data)
    assert heard
    assert heard == transcribe(client, float_wav(np.concatenate([block.samples for block in blocks])))


def test_sixteen_clients_each_get_their_own_text(service: Service, alone: dict[str, str]) -> None:
    def ask(recording: Recording) -> list[str]:
        with httpx.Client(base_url=service.url, timeout=120) as client:
            return [transcribe(client, wav(recording.samples)) for _ in range(3)]

    sixteen = recordings()[:16]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, sixteen))
    assert answers == [[alone[recording.name]] * 3 for recording in sixteen]


def test_five_minutes_are_written_in_order(client: httpx.Client) -> None:
    read = recordings() * 4
    heard = transcribe(client, FORMATS["flac-flac-16000-mono"].encode(concatenated(read, gap_s=0.8)))
    assert word_error_rate(" ".join(recording.text for recording in read), heard) < MOST_ERRORS


def test_health_answers_while_five_minutes_are_transcribed(client: httpx.Client, service: Service) -> None:
    samples = concatenated(recordings() * 4, gap_s=0.8)
    assert samples.size / MODEL_RATE_HZ > 300
    slowest_s, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal slowest_s
        with httpx.Client(base_url=service.url, timeout=30) as watcher:
            while not over.wait(0.05):
                started_s = time.perf_counter()
                assert watcher.get("/healthz").status_code == 200
                slowest_s = max(slowest_s, time.perf_counter() - started_s)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            assert transcribe(client, FORMATS["flac-flac-16000-mono"].encode(samples))
        finally:
            over.set()
        watching.result()
    assert slowest_s < 1.0


def test_a_reader_that_leaves_a_stream_ends_its_request(client: httpx.Client, service: Service) -> None:
    """The event that ends a request has the file's length only if the file was heard to its end."""
    quarter_hour = FORMATS["flac-flac-16000-mono"].encode(concatenated(recordings() * 12, gap_s=0.8))
    asked: dict[str, Any] = {
        "method": "POST",
        "url": "/v1/audio/transcriptions",
        "files": {"file": quarter_hour},
        "data": {"stream": "true"},
    }
    with client.stream(**asked, headers={"x-request-id": "leaves-early"}) as answer:
        assert next(answer.iter_lines()).startswith('data: {"type":"transcript.text.delta"')
    assert "audio_s" not in finished(service, "leaves-early")
    with client.stream(**asked, headers={"x-request-id": "stays"}) as answer:
        assert '"transcript.text.done"' in list(answer.iter_lines())[-2]
    assert finished(service, "stays")["audio_s"] > 900


def finished(service: Service, request_id: str) -> dict[str, Any]:
    """Wait for the event in the log that ends a request."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        for line in service.log.splitlines():
            if f'"{request_id}"' in line and '"request_finished"' in line:
                event: dict[str, Any] = json.loads(line)
                return event
        time.sleep(0.05)
    raise AssertionError(f"{request_id} never ended:\n{service.log[-2_000:]}")


def test_times_of_the_old_endpoint_lie_within_the_file(client: httpx.Client) -> None:
    recording = recordings()[0]
    files = {"file": ("speech.wav", wav(recording.samples))}
    plain = client.post("/transcribe", files=files, data={"should_chunk": "true"}).json()
    timed = client.post("/transcribe", files=files, data={"include_timestamps": "true"}).json()
    assert set(plain) == {"text"}
    assert timed["text"] == plain["text"]
    times = timed["timestamps"]
    assert " ".join(word["word"] for word in times["words"]) == plain["text"]
    assert " ".join(segment["segment"] for segment in times["segments"]) == plain["text"]
    assert "".join(sign["char"] for sign in times["chars"]) == plain["text"].replace(" ", "")
    for kind in ("words", "segments", "chars"):
        starts = [entry["start"] for entry in times[kind]]
        assert starts == sorted(starts)
        assert all(0 <= entry["start"] <= entry["end"] <= recording.duration_s + 0.001 for entry in times[kind])


def test_text_is_plain(client: httpx.Client, alone: dict[str, str]) -> None:
    recording = recordings()[0]
    answer = client.post(
        "/v1/audio/transcriptions", files={"file": ("speech", wav(recording.samples))}, data={"response_format": "text"}
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == alone[recording.name] + "\n"


def test_the_official_client_needs_only_the_address(service: Service, alone: dict[str, str]) -> None:
    recording = recordings()[1]
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="any") as official:
        created = official.audio.transcriptions.create(model="whisper-1", file=("speech.wav", wav(recording.samples)))
        assert created.text == alone[recording.name]
        assert created.usage is not None
        assert created.usage.to_dict() == {"type": "duration", "seconds": round(recording.duration_s, 3)}
        names = [model.id for model in official.models.list()]
        assert names[0] == "parakeet-tdt-demo"
        assert official.models.retrieve("whisper-1").id == "whisper-1"
        with pytest.raises(openai.NotFoundError) as refused:
            official.audio.transcriptions.create(model="no-such-model", file=("speech.wav", wav(recording.samples)))
        assert refused.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as unsupported:
            official.audio.transcriptions.create(
                model="whisper-1", file=("speech.wav", wav(recording.samples)), response_format="diarized_json"
            )
        assert (unsupported.value.code, unsupported.value.param) == ("unsupported_value", "response_format")


def test_silence_is_empty_text(client: httpx.Client) -> None:
    assert transcribe(client, wav(np.zeros(2 * MODEL_RATE_HZ, np.float32))) == ""
    hum = 0.3 / 32_768 * np.random.default_rng(1).standard_normal(MODEL_RATE_HZ)
    assert transcribe(client, wav(hum.astype(np.float32))) == ""


def no_samples() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, MODEL_RATE_HZ, 0, "NONE", ""))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_value"),
        (b"This is no audio, whatever its name says.", "invalid_value"),
        (no_samples(), "invalid_value"),
        (wav(np.zeros(800, np.float32)), "audio_too_short"),
    ],
    ids=["empty", "text", "no samples", "50 ms"],
)
def test_what_is_no_audio_is_refused(client: httpx.Client, data: bytes, code: str) -> None:
    answer = client.post("/v1/audio/transcriptions", files={"file": ("speech.wav", data, "audio/wav")})
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, "file")


def test_a_form_without_a_file_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/transcriptions", files={"model": (None, "whisper-1")})
    assert answer.status_code == 400
    assert error_of(answer)["param"] == "file"


@pytest.mark.parametrize(
    "name", ["wav-pcm_s16le-16000-mono", "flac-flac-16000-mono", "mp3-libmp3lame-16000-mono", "ogg-libopus-48000-mono"]
)
def test_a_file_cut_off_gives_the_text_of_what_is_there(client: httpx.Client, name: str) -> None:
    whole = FORMATS[name].encode(recordings()[0].samples)
    cut = whole[: len(whole) * 2 // 3]
    blocks = TorchaudioNormalizer().blocks(io.BytesIO(cut), limits=DecodeLimits(max_duration_s=60))
    there = np.concatenate([block.samples for block in blocks])
    assert recordings()[0].duration_s / 2 < there.size / MODEL_RATE_HZ < recordings()[0].duration_s
    assert transcribe(client, cut) == transcribe(client, float_wav(there))


def test_the_channels_are_averaged(client: httpx.Client) -> None:
    samples = recordings()[2].samples
    one_sided = encode(samples, container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=2, right_silent=True)
    assert transcribe(client, one_sided) == transcribe(client, float_wav(samples * np.float32(0.5)))

"""OpenAI's own Python client and our answers: over a socket, and in this process where keys or failures are wanted."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

import httpx
import httpx2
import msgspec
import numpy as np
import openai
import pytest
import srt
import webvtt
from litestar.testing import TestClient
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent
from openai.types.audio.transcription_create_params import ChunkingStrategyVadConfig

from app.domain.audio import MODEL_RATE_HZ
from app.entrypoints.app import create_app
from app.entrypoints.http.parameters import MOST_KEYWORDS
from app.settings import Settings
from app.testing.contracts_audio import wav_bytes
from app.testing.recognizers import FAKE_FACTS, FakeRecognizer
from tests.answers import about
from tests.app.service import PATIENCE_S, TEXT, Client, make_container, serving, tone, wav
from tests.recordings import concatenated, encode, recordings
from tests.service import Service

MODEL: Final = "whisper-1"
TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
TRANSLATIONS: Final = "/v1/audio/translations"
BY_PAUSES: Final[ChunkingStrategyVadConfig] = {"type": "server_vad", "silence_duration_ms": 300, "threshold": 0.4}


def recorded(*numbers: int) -> bytes:
    samples = concatenated([recordings()[number] for number in numbers], gap_s=1.0)
    return encode(samples, container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=1)


SPEECH: Final = ("speech.wav", recorded(0))
THREE: Final = ("three.wav", recorded(1, 2, 3))


def plain(client: httpx.Client, file: tuple[str, bytes] = SPEECH, *, path: str = TRANSCRIPTIONS, **fields: Any) -> httpx.Response:
    """What a form without any client gets; `x__` stands for the field `x[]`."""
    named = {name.replace("__", "[]"): value for name, value in fields.items()}
    answer = client.post(path, files={"file": file}, data={"model": MODEL, **named})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture(scope="module")
def official(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as opened:
        yield opened


# Formats


def test_json_is_what_plain_http_gets(official: openai.OpenAI, client: httpx.Client) -> None:
    created = official.audio.transcriptions.create(model=MODEL, file=SPEECH)
    assert created.to_dict() == plain(client).json()
    assert created.text
    assert created.usage is not None
    assert created.usage.type == "duration"
    assert created.usage.seconds == pytest.approx(recordings()[0].duration_s, abs=0.001)


@pytest.mark.parametrize("answer_format", ["text", "srt", "vtt"])
def test_bare_text_is_a_string(official: openai.OpenAI, client: httpx.Client, answer_format: Literal["text", "srt", "vtt"]) -> None:
    created = official.audio.transcriptions.create(model=MODEL, file=SPEECH, response_format=answer_format)
    assert created == plain(client, response_format=answer_format).text
    text = plain(client).json()["text"]
    shown = {
        "text": lambda: created,
        "srt": lambda: " ".join(cue.content for cue in srt.parse(created)),
        "vtt": lambda: " ".join(cue.text for cue in webvtt.from_string(created).captions),
    }[answer_format]()
    assert shown.split() == text.split()


@pytest.mark.parametrize("asked", [None, ["segment"], ["word"], ["word", "segment"]])
def test_verbose_json_has_the_times_asked_for(
    official: openai.OpenAI, client: httpx.Client, asked: list[Literal["word", "segment"]] | None
) -> None:
    created = official.audio.transcriptions.create(
        model=MODEL, file=SPEECH, response_format="verbose_json", timestamp_granularities=openai.omit if asked is None else asked
    )
    whole = plain(client, response_format="verbose_json", timestamp_granularities__=asked or []).json()
    assert created.to_dict() == about(whole)
    assert (created.language, created.usage and created.usage.seconds) == ("english", created.duration)
    assert (created.segments is not None, created.words is not None) == (
        "segment" in (asked or ["segment"]),
        "word" in (asked or []),
    )
    for times in (created.segments or [], created.words or []):
        assert all(0 <= time.start <= time.end <= created.duration + 0.001 for time in times)
        assert [time.start for time in times] == sorted(time.start for time in times)
    if created.segments:
        assert "".join(segment.text for segment in created.segments).strip() == created.text
        assert [segment.id for segment in created.segments] == list(range(len(created.segments)))
    if created.words:
        assert len(created.words) == len(created.text.split())


def test_characters_come_by_an_extension(official: openai.OpenAI) -> None:
    created = official.audio.transcriptions.create(
        model=MODEL, file=SPEECH, response_format="verbose_json", extra_body={"timestamp_granularities": ["char"]}
    )
    chars = created.to_dict()["chars"]
    assert isinstance(chars, list)
    assert "".join(sign["char"] for sign in chars) == created.text.replace(" ", "")


def test_a_file_may_be_given_in_any_way(official: openai.OpenAI, client: httpx.Client, tmp_path: Path) -> None:
    text, data = plain(client).json()["text"], SPEECH[1]
    path = tmp_path / "named.mp4"  # whatever a name says, the content decides
    path.write_bytes(data)
    with path.open("rb") as opened:
        for given in (path, opened, data, io.BytesIO(data), ("speech", data, "text/plain")):
            assert official.audio.transcriptions.create(model=MODEL, file=given).text == text, given


# Parameters


def test_every_hint_is_accepted(official: openai.OpenAI, client: httpx.Client) -> None:
    created = official.audio.transcriptions.create(
        model="parakeet-tdt-demo", file=SPEECH, language="en", languages=["de", "en"], prompt="Names.", temperature=0.2,
        known_speaker_names=["ada"], known_speaker_references=["data:audio/wav;base64,AAAA"], stream=None, chunking_strategy=None,
    )  # fmt: skip
    assert created.to_dict() == plain(client).json()


def test_log_probabilities_spell_the_text(official: openai.OpenAI, client: httpx.Client) -> None:
    created = official.audio.transcriptions.create(model=MODEL, file=SPEECH, include=["logprobs"])
    assert created.to_dict() == about(plain(client, include__="logprobs").json())
    assert created.logprobs
    assert "".join(told.token or "" for told in created.logprobs).strip() == created.text
    for told in created.logprobs:
        assert told.logprob is not None
        assert told.logprob <= 0
        assert bytes(int(byte) for byte in told.bytes or ()).decode() == told.token


@pytest.mark.parametrize("strategy", ["auto", BY_PAUSES])
def test_a_chunking_strategy_is_sent_as_we_read_it(
    official: openai.OpenAI, client: httpx.Client, strategy: Literal["auto"] | ChunkingStrategyVadConfig
) -> None:
    created = official.audio.transcriptions.create(model=MODEL, file=THREE, chunking_strategy=strategy)
    by_hand = strategy if isinstance(strategy, str) else msgspec.json.encode(strategy).decode()
    assert created.to_dict() == plain(client, THREE, chunking_strategy=by_hand).json()


def test_keywords_are_sent_as_we_read_them(official: openai.OpenAI, client: httpx.Client) -> None:
    keywords = ["Zürich", "New York"]
    created = official.audio.transcriptions.create(model=MODEL, file=SPEECH, keywords=keywords)
    assert created.to_dict() == plain(client, keywords__=keywords).json()


# Streams


@pytest.mark.parametrize(
    ("file", "strategy"), [(SPEECH, openai.omit), (THREE, BY_PAUSES)], ids=["one sentence, whole", "three, cut at pauses"]
)
def test_deltas_joined_are_the_text_as_it_is_without_streaming(
    official: openai.OpenAI, file: tuple[str, bytes], strategy: openai.Omit | ChunkingStrategyVadConfig
) -> None:
    whole = official.audio.transcriptions.create(model=MODEL, file=file, chunking_strategy=strategy)
    with official.audio.transcriptions.create(model=MODEL, file=file, stream=True, chunking_strategy=strategy) as stream:
        *deltas, done = stream
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert all(isinstance(delta, TranscriptionTextDeltaEvent) for delta in deltas)
    assert (len(deltas) > 1) == (strategy is not openai.omit)
    assert "".join(delta.delta for delta in deltas if delta.type == "transcript.text.delta") == done.text == whole.text
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    assert done.logprobs is None


def test_log_probabilities_are_streamed(official: openai.OpenAI) -> None:
    create = official.audio.transcriptions.create
    whole = create(model=MODEL, file=THREE, include=["logprobs"], chunking_strategy=BY_PAUSES)
    *deltas, done = create(model=MODEL, file=THREE, include=["logprobs"], chunking_strategy=BY_PAUSES, stream=True)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert whole.logprobs
    assert done.logprobs
    assert [told.token for told in done.logprobs] == [told.token for told in whole.logprobs]
    # Which windows share a batch is a matter of time, and sums differ in their last digits with the size of the batch.
    assert [told.logprob for told in done.logprobs] == pytest.approx([told.logprob for told in whole.logprobs], abs=1e-3)
    streamed = [told for delta in deltas if delta.type == "transcript.text.delta" for told in delta.logprobs or ()]
    assert [told.to_dict() for told in streamed] == [told.to_dict() for told in done.logprobs]


def test_who_leaves_a_stream_early_harms_nobody(official: openai.OpenAI, client: httpx.Client) -> None:
    with official.audio.transcriptions.create(model=MODEL, file=THREE, stream=True, chunking_strategy=BY_PAUSES) as stream:
        assert next(stream).type == "transcript.text.delta"
    assert official.audio.transcriptions.create(model=MODEL, file=SPEECH).text == plain(client).json()["text"]


# Raw answers, translations, models, the asynchronous client


def test_a_raw_answer_has_its_headers_and_parses(official: openai.OpenAI, client: httpx.Client) -> None:
    raw = official.audio.transcriptions.with_raw_response.create(model=MODEL, file=SPEECH, extra_headers={"x-request-id": "mine-7"})
    assert (raw.status_code, raw.headers["content-type"], raw.request_id) == (200, "application/json", "mine-7")
    assert raw.parse().to_dict() == plain(client).json()
    assert raw.parse()._request_id == "mine-7"
    with official.audio.transcriptions.with_raw_response.create(model=MODEL, file=SPEECH, stream=True).parse() as stream:
        assert [event.type for event in stream][-1] == "transcript.text.done"


def test_a_streamed_answer_is_read_as_it_comes(official: openai.OpenAI, client: httpx.Client) -> None:
    streaming = official.audio.transcriptions.with_streaming_response
    with streaming.create(model=MODEL, file=SPEECH) as answer:
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.parse().text == plain(client).json()["text"]
    with streaming.create(model=MODEL, file=SPEECH, response_format="srt") as lines:
        assert list(lines.iter_lines()) == plain(client, response_format="srt").text.splitlines()
    with streaming.create(model=MODEL, file=SPEECH, stream=True) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        assert [event.type for event in events.parse()][-1] == "transcript.text.done"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI is about to give the endpoint up
def test_translations_come_in_every_format(official: openai.OpenAI, client: httpx.Client) -> None:
    create = official.audio.translations.create
    told = create(model=MODEL, file=SPEECH, prompt="Names.", temperature=0.1)
    assert told.to_dict() == {"text": plain(client).json()["text"]}
    verbose = create(model=MODEL, file=SPEECH, response_format="verbose_json")
    assert verbose.to_dict() == about(plain(client, path=TRANSLATIONS, response_format="verbose_json").json())
    assert (verbose.language, verbose.text) == ("english", told.text)
    for answer_format in ("text", "srt", "vtt"):
        bare: object = create(model=MODEL, file=SPEECH, response_format=answer_format)
        assert bare == plain(client, response_format=answer_format).text


def test_models_are_listed_and_found(official: openai.OpenAI, client: httpx.Client) -> None:
    listed = list(official.models.list())
    assert [model.to_dict() for model in listed] == client.get("/v1/models").json()["data"]
    for model in listed:
        assert official.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match="nvidia/no-such-model") as refused:
        official.models.retrieve("nvidia/no-such-model")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_model_with_an_owner_is_found_by_its_whole_name() -> None:
    name = "nvidia/parakeet-tdt-0.6b-v2"
    recognizer = FakeRecognizer(TEXT, facts=msgspec.structs.replace(FAKE_FACTS, model_id=name))
    with in_process(recognizer=recognizer) as (official, _):
        found = official.models.retrieve(name)
        assert (found.id, found.owned_by, found.object) == (name, "nvidia", "model")
        assert official.models.retrieve("parakeet-tdt-0.6b-v2").id == "parakeet-tdt-0.6b-v2"
        assert official.audio.transcriptions.create(model=name, file=("a.wav", wav())).text == TEXT


def test_the_asynchronous_client_is_served_as_well(service: Service, client: httpx.Client) -> None:
    several = [("a.wav", recorded(number)) for number in range(4)]

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as official:
            create = official.audio.transcriptions.create
            answers = await asyncio.gather(*(create(model=MODEL, file=file) for file in several))
            assert [answer.to_dict() for answer in answers] == [plain(client, file).json() for file in several]
            async with await create(model=MODEL, file=SPEECH, stream=True) as stream:
                *deltas, done = [event.to_dict() async for event in stream]
            assert "".join(str(delta["delta"]) for delta in deltas) == done["text"] == answers[0].text
            listed = [model.id async for model in official.models.list()]
            assert listed[0] == "parakeet-tdt-demo"
            with pytest.raises(openai.NotFoundError):
                await create(model="no-such-model", file=SPEECH)

    asyncio.run(ask())


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "param"),
    [
        ({"file": ("a.wav", b"This is no audio.")}, "invalid_value", "file"),
        ({"file": ("a.wav", wav(0.05))}, "audio_too_short", "file"),
        ({"response_format": "diarized_json"}, "unsupported_value", "response_format"),
        ({"response_format": "verbose_json", "stream": True}, "unsupported_value", "stream"),
        ({"response_format": "text", "include": ["logprobs"]}, "unsupported_value", "include"),
        ({"language": "de"}, "invalid_value", "language"),
        ({"languages": ["de", "fr"]}, "invalid_value", "languages"),
        ({"keywords": [f"k{i}" for i in range(MOST_KEYWORDS + 1)]}, "invalid_value", "keywords"),
        ({"temperature": 1.5}, "invalid_value", "temperature"),
        ({"chunking_strategy": {"type": "semantic_vad"}}, "invalid_value", "chunking_strategy"),
    ],
)
def test_what_is_wrong_raises_a_bad_request_that_names_it(
    official: openai.OpenAI, arguments: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        official.audio.transcriptions.create(**{"model": MODEL, "file": SPEECH, **arguments})
    assert (refused.value.type, refused.value.code, refused.value.param) == ("invalid_request_error", code, param)
    assert refused.value.request_id
    body = refused.value.body
    assert isinstance(body, dict)
    assert body["message"] in str(refused.value)


def test_another_model_raises_not_found(official: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="whisper-1") as refused:
        official.audio.transcriptions.create(model="no-such-model", file=SPEECH)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


class InProcess(httpx2.BaseTransport):
    """Hands the client's requests to the application in this process; `seen` are their headers."""

    def __init__(self, app: Client) -> None:
        self._app = app
        self.seen: list[httpx2.Headers] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request.headers)
        answer = self._app.request(
            request.method, request.url.raw_path.decode(), headers=request.headers.multi_items(), content=request.read()
        )
        return httpx2.Response(answer.status_code, headers=answer.headers.multi_items(), content=answer.content)


def client_of(app: Client, *, api_key: str = "any") -> tuple[openai.OpenAI, InProcess]:
    """A client with the retries that everybody's has."""
    transport = InProcess(app)
    http_client = httpx2.Client(transport=transport)
    return openai.OpenAI(base_url="http://service.test/v1", api_key=api_key, http_client=http_client), transport


@contextmanager
def in_process(
    settings: Settings | None = None, *, recognizer: FakeRecognizer | None = None, api_key: str = "any"
) -> Iterator[tuple[openai.OpenAI, InProcess]]:
    with serving(settings, recognizer=recognizer) as (app, _):
        official, transport = client_of(app, api_key=api_key)
        with official:
            yield official, transport


@pytest.fixture
def naps_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited before each retry; it does not really."""
    naps_s: list[float] = []
    monkeypatch.setattr("openai._base_client.time", SimpleNamespace(sleep=naps_s.append))
    return naps_s


def test_keywords_reach_the_recogniser() -> None:
    recognizer = FakeRecognizer(TEXT)
    with in_process(recognizer=recognizer) as (official, _):
        official.audio.transcriptions.create(model=MODEL, file=("a.wav", wav()), keywords=["Zürich", "New York"])
    assert [options.keywords for options in recognizer.asked] == [("Zürich", "New York")]


def test_a_key_opens_and_a_wrong_one_raises_an_authentication_error() -> None:
    locked = Settings(api_keys=("sk-right",))
    with in_process(locked, api_key="sk-right") as (official, _):
        assert official.audio.transcriptions.create(model=MODEL, file=("a.wav", wav())).text == TEXT
        assert official.models.retrieve(MODEL).id == MODEL
    with in_process(locked, api_key="sk-wrong") as (official, transport):
        with pytest.raises(openai.AuthenticationError) as refused:
            official.audio.transcriptions.create(model=MODEL, file=("a.wav", wav()))
        assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
        assert "sk-wrong" not in str(refused.value)
        assert len(transport.seen) == 1


def test_what_fails_in_a_stream_raises_after_what_was_heard() -> None:
    audio = wav_bytes(np.concatenate([tone(12), np.float32(3.6) * tone(3)]), rate_hz=MODEL_RATE_HZ)
    recognizer = FakeRecognizer("Fine.", fails_on=lambda clip: clip.samples.max() > 0.8)
    heard: list[str] = []
    with in_process(Settings(single_pass_s=5, window_s=5), recognizer=recognizer) as (official, transport):
        stream = official.audio.transcriptions.create(model=MODEL, file=("a.wav", audio), stream=True)
        with pytest.raises(openai.APIError) as failed:
            heard += [event.type for event in stream]
    assert (failed.value.code, failed.value.type) == ("internal_error", "server_error")
    assert len(transport.seen) == 1


# Retries


@pytest.mark.parametrize(
    ("file", "kind", "status", "code"),
    [
        (("a.wav", b"no audio"), openai.BadRequestError, 400, "invalid_value"),
        (("a.wav", wav(40.0)), openai.APIStatusError, 413, "file_too_large"),
        (("a.wav", wav(1.0)), openai.InternalServerError, 500, "internal_error"),
    ],
)
def test_what_would_fail_again_is_asked_once(
    naps_s: list[float], file: tuple[str, bytes], kind: type[openai.APIStatusError], status: int, code: str
) -> None:
    recognizer = FakeRecognizer(TEXT, fails_on=lambda _: True)
    with in_process(Settings(max_upload_mb=1), recognizer=recognizer) as (official, transport):
        with pytest.raises(kind) as refused:
            official.audio.transcriptions.create(model=MODEL, file=file)
        assert (refused.value.status_code, refused.value.code) == (status, code)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert (len(transport.seen), naps_s) == (1, [])


@contextmanager
def loading() -> Iterator[tuple[openai.OpenAI, InProcess, Callable[[], object]]]:
    """The application while its model loads; the last value is called to have it loaded."""
    there = threading.Event()

    def load() -> FakeRecognizer:
        there.wait(PATIENCE_S)
        return FakeRecognizer(TEXT)

    container = make_container(Settings(), load)

    def let_load() -> None:
        there.set()
        container.engine().loaded.result(PATIENCE_S)

    with TestClient(create_app(container)) as app:
        official, transport = client_of(app)
        try:
            with official:
                yield official, transport, let_load
        finally:
            there.set()


def test_a_model_that_still_loads_is_asked_again_when_the_answer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    naps_s: list[float] = []
    with loading() as (official, transport, let_load):

        def nap(duration_s: float) -> None:
            naps_s.append(duration_s)
            let_load()

        monkeypatch.setattr("openai._base_client.time", SimpleNamespace(sleep=nap))
        assert official.audio.transcriptions.create(model=MODEL, file=("a.wav", wav())).text == TEXT
    assert naps_s == [5.0]
    assert [headers["x-stainless-retry-count"] for headers in transport.seen] == ["0", "1"]


def test_a_model_that_never_comes_is_asked_for_three_times(naps_s: list[float]) -> None:
    with loading() as (official, transport, _):
        with pytest.raises(openai.InternalServerError) as refused:
            official.audio.transcriptions.create(model=MODEL, file=("a.wav", wav()))
        assert (refused.value.status_code, refused.value.code, refused.value.type) == (503, "not_ready", "server_error")
    assert (len(transport.seen), naps_s) == (3, [5.0, 5.0])

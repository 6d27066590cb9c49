"""OpenAI's audio endpoints over the whole application, with fakes behind its ports: every field, every format, every event."""

import asyncio
import json
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec
import numpy as np
import pytest
import srt
import webvtt
from litestar import Litestar
from structlog.testing import capture_logs

from app.domain.audio import MODEL_RATE_HZ, Clip, Samples
from app.domain.engine import Engine
from app.domain.ports import Options, VoiceDetector, VoiceStream
from app.domain.transcript import Transcript, opening
from app.entrypoints.app import create_app
from app.entrypoints.http.parameters import LONGEST_KEYWORD, MOST_KEYWORDS
from app.settings import Settings
from app.testing.contracts_audio import wav_bytes
from app.testing.fakes import FakeVoiceDetector
from app.testing.recognizers import FAKE_FACTS, FAKE_LOGPROB, FakeRecognizer, GatedRecognizer, spoken_evenly

from .service import PATIENCE_S, TRANSCRIPTIONS, Client, check_envelope, left_in, make_container, send, serving, tone, wav

TRANSLATIONS: Final = "/v1/audio/translations"
TEXT: Final = 'Well, "twenty-one" it is. How are you?'
DURATION_S: Final = 3.0
SPOKEN: Final[Transcript] = spoken_evenly(TEXT, duration_s=DURATION_S)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(recognizer=FakeRecognizer(TEXT)) as (client, _):
        yield client


def ask(client: Client, data: bytes | None = None, /, **fields: Any) -> httpx.Response:
    """Send a file; `granularities` stands for the field of that long name, `x__y` for `x[y]` and `x__` for `x[]`."""
    named = {
        name.replace("granularities", "timestamp_granularities").replace("__", "[", 1) + ("]" if "__" in name else ""): value
        for name, value in fields.items()
    }
    return send(client, wav(DURATION_S) if data is None else data, path=TRANSCRIPTIONS, **named)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream: `data:` lines, each followed by an empty one, and nothing else."""
    assert answer.text.endswith("\n\n")
    frames = answer.text.removesuffix("\n\n").split("\n\n")
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


# response_format


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/audio/transcriptions", TRANSCRIPTIONS + "/", "/audio/transcriptions/"])
def test_json_is_the_default_on_every_path(client: Client, path: str) -> None:
    answer = send(client, wav(DURATION_S), path=path)
    assert answer.status_code == 200
    assert answer.json() == {"text": TEXT, "usage": {"type": "duration", "seconds": DURATION_S}}


def test_verbose_json_has_every_field_of_the_hosted_api(client: Client) -> None:
    body = ask(client, response_format="verbose_json", temperature="0.25").json()
    segments = body.pop("segments")
    assert body == {
        "task": "transcribe", "language": "english", "duration": DURATION_S, "text": TEXT,
        "usage": {"type": "duration", "seconds": DURATION_S},
    }  # fmt: skip
    assert len(segments) == len(SPOKEN.segments) == 2
    for number, (told, said) in enumerate(zip(segments, SPOKEN.segments, strict=True)):
        text = said.text.encode()
        assert told == {
            "id": number,
            "seek": 0,
            "start": round(said.start_s, 3),
            "end": round(said.end_s, 3),
            "text": f" {said.text}",
            "tokens": [token.id for token in said.tokens],
            "temperature": 0.25,
            "avg_logprob": FAKE_LOGPROB,
            "compression_ratio": pytest.approx(len(text) / len(zlib.compress(text)), abs=1e-4),
            "no_speech_prob": 0.0,  # the fake detector is sure of a tone
        }


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({}, {"segments"}),
        ({"granularities": ""}, {"segments"}),
        ({"granularities__": "segment"}, {"segments"}),
        ({"granularities__": "word"}, {"words"}),
        ({"granularities": "word"}, {"words"}),
        ({"granularities__": ["word", "segment"]}, {"words", "segments"}),
        ({"granularities": "segment, word"}, {"words", "segments"}),
        ({"granularities__": "char"}, {"chars"}),
        ({"granularities__": "char,word", "granularities": "segment"}, {"chars", "words", "segments"}),
    ],
)
def test_granularities_choose_the_times(client: Client, fields: dict[str, Any], there: set[str]) -> None:
    body = ask(client, response_format="verbose_json", **fields).json()
    assert {"segments", "words", "chars"} & body.keys() == there
    assert body["text"] == TEXT


class DeafDetector(FakeVoiceDetector):
    """Cannot be asked about a clip."""

    def probabilities(self, clip: Clip) -> Samples:
        raise AssertionError(f"the voice of {clip.duration_s} s was asked for in vain")


def test_voice_is_listened_for_only_where_its_probability_is_told() -> None:
    with serving(recognizer=FakeRecognizer(TEXT), detector=DeafDetector()) as (client, _):
        told = ask(client, response_format="verbose_json", granularities__=["word", "char"])
        assert told.json()["words"]
        assert ask(client, response_format="verbose_json").status_code == 500


def test_words_are_bare_and_characters_are_all_there(client: Client) -> None:
    body = ask(client, response_format="verbose_json", granularities="word,char").json()
    assert [word["word"] for word in body["words"]] == ["Well", "twenty-one", "it", "is", "How", "are", "you"]
    assert [(word["start"], word["end"]) for word in body["words"]] == [
        (round(word.start_s, 3), round(word.end_s, 3)) for word in SPOKEN.words
    ]
    assert "".join(sign["char"] for sign in body["chars"]) == TEXT.replace(" ", "")


def test_granularities_without_verbose_json_are_ignored(client: Client) -> None:
    assert ask(client, granularities="word").json() == ask(client).json()


@pytest.mark.parametrize("spelling", ["granularities", "granularities__"])
def test_an_unknown_granularity_is_400(client: Client, spelling: str) -> None:
    answer = ask(client, response_format="verbose_json", **{spelling: "sentence"})
    assert "`segment` or `word` or `char`" in check_envelope(answer, 400, code="invalid_value", param="timestamp_granularities")


def test_text_srt_and_vtt_are_bare_text(client: Client) -> None:
    text, subrip, vtt = (ask(client, response_format=answer_format) for answer_format in ("text", "srt", "vtt"))
    assert text.text == f"{TEXT}\n"
    assert text.headers["content-type"] == subrip.headers["content-type"] == "text/plain; charset=utf-8"
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    cues = list(srt.parse(subrip.text))
    assert " ".join(cue.content.replace("\n", " ") for cue in cues) == TEXT
    assert [cue.text.replace("\n", " ") for cue in webvtt.from_string(vtt.text).captions] == [
        cue.content.replace("\n", " ") for cue in cues
    ]


@pytest.mark.parametrize(
    ("asked", "code"), [("xml", "invalid_value"), ("JSON", "invalid_value"), ("diarized_json", "unsupported_value")]
)
def test_another_format_is_400(client: Client, asked: str, code: str) -> None:
    check_envelope(ask(client, response_format=asked), 400, code=code, param="response_format")


# temperature, prompt, model, known speakers


@pytest.mark.parametrize("temperature", ["", "0", "0.0", "1", "0.2"])
def test_a_temperature_is_accepted(client: Client, temperature: str) -> None:
    assert ask(client, temperature=temperature).status_code == 200


@pytest.mark.parametrize("temperature", ["warm", "-0.1", "1.1", "nan", "inf"])
def test_a_temperature_out_of_range_is_400(client: Client, temperature: str) -> None:
    assert "0 to 1" in check_envelope(ask(client, temperature=temperature), 400, code="invalid_value", param="temperature")


def test_hints_nobody_can_use_are_ignored(client: Client) -> None:
    reference = "data:audio/wav;base64," + "A" * 600_000
    answer = ask(
        client, prompt="ZyntriQix", known_speaker_names__=["ada", "bob"], known_speaker_references__=[reference] * 4, extra="x"
    )  # fmt: skip
    assert answer.json() == ask(client).json()


def test_no_model_is_fine_and_another_is_404(client: Client) -> None:
    for name in (None, "", "fake", "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe"):
        assert ask(client, **({} if name is None else {"model": name})).status_code == 200, name
    check_envelope(ask(client, model="whisper-2"), 404, code="model_not_found", param="model")


# languages


@pytest.mark.parametrize(
    "fields",
    [{"language": ""}, {"language": "en"}, {"language": "EN-us"}, {"language": "en_GB"}, {"language": "English"},
     {"languages__": "en"}, {"languages__": ["de", "en"]}, {"languages": "de,en"}, {"languages__": ["", ""]}],
)  # fmt: skip
def test_english_is_spoken_however_it_is_called(client: Client, fields: dict[str, Any]) -> None:
    assert ask(client, **fields).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"language": "de"}, "language"), ({"language": "eng"}, "language"), ({"languages__": ["de", "fr"]}, "languages")],
)
def test_a_language_that_is_not_spoken_is_400_and_told_which_are(client: Client, fields: dict[str, Any], param: str) -> None:
    told = check_envelope(ask(client, **fields), 400, code="invalid_value", param=param)
    assert "en (english)" in told
    assert "`de`" in told or "`eng`" in told


# keywords


def test_keywords_reach_the_recogniser_of_their_own_request_alone() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _):
        ask(client, keywords__=["Zürich", " New   York ", "", "Zürich"])
        ask(client, keywords="one, two")
        ask(client)
    assert [options.keywords for options in recognizer.asked] == [("Zürich", "New York"), ("one, two",), ()]


def test_keywords_have_limits(client: Client) -> None:
    for fitting in (["k" * LONGEST_KEYWORD], [f"k{i}" for i in range(MOST_KEYWORDS)]):
        assert ask(client, keywords__=fitting).status_code == 200
    for too_much, limit in (
        (["k" * (LONGEST_KEYWORD + 1)], LONGEST_KEYWORD),
        ([f"k{i}" for i in range(MOST_KEYWORDS + 1)], MOST_KEYWORDS),
    ):
        assert str(limit) in check_envelope(ask(client, keywords__=too_much), 400, code="invalid_value", param="keywords")


# logprobs


def test_log_probabilities_are_told_when_asked_for(client: Client) -> None:
    body = ask(client, include__="logprobs").json()
    assert [(told["token"], bytes(told["bytes"]).decode(), told["logprob"]) for told in body["logprobs"]] == [
        (token.text, token.text, token.logprob) for token in opening(SPOKEN).tokens
    ]
    assert "".join(told["token"] for told in body["logprobs"]) == body["text"]
    assert "logprobs" not in ask(client, include__="").json()


def test_words_and_subtitles_are_told_with_json_when_asked_for(client: Client) -> None:
    body = ask(client, include__=["words", "srt", "vtt"]).json()
    assert body.keys() == {"text", "words", "srt", "vtt", "usage"}
    assert " ".join(word["word"] for word in body["words"]) == body["text"]
    assert [(word["start"], word["end"], word["logprob"]) for word in body["words"]] == [
        (round(word.start_s, 3), round(word.end_s, 3), FAKE_LOGPROB) for word in SPOKEN.words
    ]
    for subtitles in ("srt", "vtt"):
        assert body[subtitles] == ask(client, response_format=subtitles).text


@pytest.mark.parametrize("answer_format", ["text", "srt", "vtt", "verbose_json"])
def test_log_probabilities_go_with_json_alone(client: Client, answer_format: str) -> None:
    check_envelope(ask(client, include__="logprobs", response_format=answer_format), 400, code="unsupported_value", param="include")


def test_an_unknown_include_is_400(client: Client) -> None:
    assert "`logprobs`" in check_envelope(ask(client, include__="chars"), 400, code="invalid_value", param="include")


# chunking_strategy

PAUSES_S: Final = (0.25, 0.7)  # between three tones of one second


def three_tones() -> bytes:
    silent = [np.zeros(round(pause_s * MODEL_RATE_HZ), np.float32) for pause_s in PAUSES_S]
    return wav_bytes(np.concatenate([tone(1), silent[0], tone(1), silent[1], tone(1)]), rate_hz=MODEL_RATE_HZ)


def clips_heard(detector: VoiceDetector | None = None, /, **fields: Any) -> list[Samples]:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer, detector=detector) as (client, _):
        assert ask(client, three_tones(), **fields).status_code == 200
    return [clip.samples for clip in recognizer.heard]


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy": json.dumps({"type": "server_vad", "silence_duration_ms": 500})},
        {"chunking_strategy__type": "server_vad", "chunking_strategy__silence_duration_ms": "500"},
    ],
)
def test_silence_duration_decides_which_pauses_cut(fields: dict[str, str]) -> None:
    assert len(clips_heard(**fields)) == 2
    assert len(clips_heard(**{name: value.replace("500", "100") for name, value in fields.items()})) == 3
    assert len(clips_heard(**{name: value.replace("500", "900") for name, value in fields.items()})) == 1


def test_prefix_padding_decides_how_much_is_heard_before_speech() -> None:
    heard = {
        padding_ms: clips_heard(chunking_strategy__type="server_vad", chunking_strategy__prefix_padding_ms=str(padding_ms))
        for padding_ms in (0, 500)
    }
    before_s = {padding_ms: np.flatnonzero(clips[-1])[0] / MODEL_RATE_HZ for padding_ms, clips in heard.items()}
    assert before_s[0] == pytest.approx(0.0, abs=0.032)
    assert before_s[500] == pytest.approx(0.5, abs=0.032)


class HalfSureStream:
    def __init__(self, inner: VoiceStream) -> None:
        self._inner = inner

    def push(self, samples: Samples) -> Samples:
        return self._inner.push(samples) * np.float32(0.5)


class HalfSureDetector(FakeVoiceDetector):
    """Gives every sound a probability of 0.5."""

    def open_stream(self) -> VoiceStream:
        return HalfSureStream(super().open_stream())


@pytest.mark.parametrize(("threshold", "n_clips"), [("0.1", 3), ("0.9", 0)])
def test_the_threshold_decides_what_speech_is(threshold: str, n_clips: int) -> None:
    fields = {"chunking_strategy__type": "server_vad", "chunking_strategy__threshold": threshold}
    assert len(clips_heard(HalfSureDetector(), **fields)) == n_clips


def test_auto_cuts_by_voice_and_none_leaves_a_short_file_whole() -> None:
    (whole,) = clips_heard()
    (packed,) = clips_heard(chunking_strategy="auto")
    assert whole.size == round((3 + sum(PAUSES_S)) * MODEL_RATE_HZ)
    assert packed.size <= whole.size


@pytest.mark.parametrize("strategy", ["", "auto", '"auto"', "null"])
def test_a_strategy_may_be_a_word(client: Client, strategy: str) -> None:
    assert ask(client, chunking_strategy=strategy).status_code == 200


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ({"chunking_strategy": "manual"}, "auto"),
        ({"chunking_strategy": "{}"}, "type"),
        ({"chunking_strategy": '{"type": "semantic_vad"}'}, "semantic_vad"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": 1.5}'}, "threshold"),
        ({"chunking_strategy__threshold": "0.5"}, "type"),
        ({"chunking_strategy__type": "server_vad", "chunking_strategy__silence_duration_ms": "-1"}, "silence_duration_ms"),
        ({"chunking_strategy__type": "server_vad", "chunking_strategy__prefix_padding_ms": "long"}, "prefix_padding_ms"),
    ],
)
def test_a_wrong_strategy_is_400_and_says_what_is_wrong(client: Client, strategy: dict[str, str], told: str) -> None:
    assert told in check_envelope(ask(client, **strategy), 400, code="invalid_value", param="chunking_strategy")


# stream


def numbered() -> FakeRecognizer:
    """Says of each clip how long it is, so that each part of a file has a text of its own."""
    return FakeRecognizer(lambda clip: f"Part of {clip.samples.size} samples.")


@contextmanager
def serving_in_windows(recognizer: Any) -> Iterator[Client]:
    with serving(Settings(single_pass_s=5, window_s=5), recognizer=recognizer) as (client, _):
        yield client


def test_deltas_joined_are_the_text_as_it_is_without_streaming() -> None:
    with serving_in_windows(numbered()) as client:
        streamed, whole = ask(client, wav(20.3), stream="true"), ask(client, wav(20.3)).json()
    assert streamed.status_code == 200
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.headers["x-accel-buffering"] == "no"
    *deltas, done = events(streamed)
    assert len(deltas) >= 4
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert all(delta.keys() == {"type", "delta"} for delta in deltas)
    assert done["type"] == "transcript.text.done"
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == whole["text"]
    n_pieces = len(done["text"].split()) + done["text"].count(".")
    assert done["usage"] == {
        "type": "tokens", "input_tokens": 203, "output_tokens": n_pieces, "total_tokens": 203 + n_pieces,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 203},
    }  # fmt: skip


def test_log_probabilities_are_streamed_with_their_text() -> None:
    with serving_in_windows(numbered()) as client:
        *deltas, done = events(ask(client, wav(12), stream="true", include__="logprobs"))
    for delta in deltas:
        assert "".join(told["token"] for told in delta["logprobs"]) == delta["delta"]
    assert [told for delta in deltas for told in delta["logprobs"]] == done["logprobs"]


def test_words_are_streamed_as_they_come_and_subtitles_at_the_end() -> None:
    with serving_in_windows(numbered()) as client:
        *deltas, done = events(ask(client, wav(12), stream="true", include__=["words", "vtt"]))
    assert len(deltas) > 1
    for delta in deltas:
        assert delta.keys() == {"type", "delta", "words"}
        assert " ".join(word["word"] for word in delta["words"]) == delta["delta"].strip()
    assert [word for delta in deltas for word in delta["words"]] == done["words"]
    assert done["vtt"].startswith("WEBVTT\n\n00:00:")
    assert "srt" not in done


def test_a_silent_file_streams_no_delta_and_one_done(client: Client) -> None:
    (done,) = events(ask(client, wav_bytes(np.zeros(MODEL_RATE_HZ, np.float32), rate_hz=MODEL_RATE_HZ), stream="true"))
    assert (done["type"], done["text"]) == ("transcript.text.done", "")


@pytest.mark.parametrize("answer_format", ["text", "srt", "vtt", "verbose_json"])
def test_only_json_is_streamed(client: Client, answer_format: str) -> None:
    check_envelope(ask(client, stream="true", response_format=answer_format), 400, code="unsupported_value", param="stream")


@pytest.mark.parametrize("value", ["yes", "2"])
def test_stream_is_true_or_false(client: Client, value: str) -> None:
    check_envelope(ask(client, stream=value), 400, code="invalid_value", param="stream")


def test_what_fails_before_the_first_event_is_told_by_its_status(client: Client) -> None:
    check_envelope(ask(client, b"no audio", stream="true"), 400, code="invalid_value", param="file")
    check_envelope(ask(client, wav(0.05), stream="true"), 400, code="audio_too_short", param="file")


def test_what_fails_later_is_an_event() -> None:
    recognizer = FakeRecognizer("Fine.", fails_on=lambda clip: clip.samples.max() > 0.8)
    audio = wav_bytes(np.concatenate([tone(12), np.float32(3.6) * tone(3)]), rate_hz=MODEL_RATE_HZ)
    with serving_in_windows(recognizer) as client:
        *deltas, failed = events(ask(client, audio, stream="true"))
        assert ask(client, wav(1)).status_code == 200
    assert deltas
    assert all(delta["type"] == "transcript.text.delta" for delta in deltas)
    assert failed["error"].keys() == {"message", "type", "param", "code"}
    assert (failed["error"]["type"], failed["error"]["code"]) == ("server_error", "internal_error")


# translations


@pytest.mark.parametrize("path", [TRANSLATIONS, "/audio/translations", TRANSLATIONS + "/"])
def test_a_translation_of_english_is_its_transcription(client: Client, path: str) -> None:
    assert send(client, wav(DURATION_S), path=path, prompt="x", model="whisper-1").json() == {"text": TEXT}


def test_a_translation_comes_in_every_format(client: Client) -> None:
    verbose = send(client, wav(DURATION_S), path=TRANSLATIONS, response_format="verbose_json").json()
    assert (verbose["task"], verbose["language"], verbose["text"]) == ("translate", "english", TEXT)
    assert len(verbose["segments"]) == 2
    for answer_format in ("text", "srt", "vtt"):
        translated = send(client, wav(DURATION_S), path=TRANSLATIONS, response_format=answer_format)
        assert translated.text == ask(client, response_format=answer_format).text
    check_envelope(send(client, path=TRANSLATIONS, response_format="xml"), 400, code="invalid_value", param="response_format")
    check_envelope(send(client, path=TRANSLATIONS, temperature="2"), 400, code="invalid_value", param="temperature")


# readers that leave, and readers that do not read


class Reader:
    """A client at the ASGI interface itself, who decides when to take an event and when to go."""

    def __init__(self, **fields: str) -> None:
        self.taken: list[bytes] = []
        self.told = asyncio.Event()  # something was taken
        self.reads, self.left = asyncio.Event(), asyncio.Event()
        self._request = httpx.Request("POST", f"http://test{TRANSCRIPTIONS}", files={"file": ("a.wav", wav(40))}, data=fields)
        self._sent = False

    async def ask(self, app: Litestar) -> None:
        headers = [(name.lower(), value) for name, value in self._request.headers.raw]
        scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "headers": headers, "path": TRANSCRIPTIONS, "raw_path": TRANSCRIPTIONS.encode(), "query_string": b"", "root_path": "",
            "client": ("test", 1), "server": ("test", 80), "state": {},
        }  # fmt: skip
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._request.read(), "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            self.taken.append(message["body"])
            self.told.set()
            await self.reads.wait()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # threads bring it about, and none of them has an event to tell
        await asyncio.sleep(0.001)


def running_in_windows(
    check: Callable[[Litestar, FakeRecognizer, Engine], Awaitable[None]], other: GatedRecognizer | None = None
) -> None:
    """Run `check` beside an application that hears one window of five seconds at a time."""

    async def run() -> None:
        recognizer = FakeRecognizer("Word.", facts=msgspec.structs.replace(FAKE_FACTS, batch_padded_s=5.0))
        container = make_container(Settings(single_pass_s=5, window_s=5), lambda: other or recognizer)
        app = create_app(container)
        async with app.lifespan():
            await asyncio.to_thread(container.engine().loaded.result, PATIENCE_S)
            await asyncio.wait_for(check(app, recognizer, container.engine()), PATIENCE_S)

    asyncio.run(run())


def test_a_reader_that_leaves_cancels_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def check(app: Litestar, recognizer: FakeRecognizer, _engine: Engine) -> None:
        reader = Reader(stream="true")
        asking = asyncio.create_task(reader.ask(app))
        await reader.told.wait()
        reader.left.set()
        await asking
        n_heard = len(recognizer.heard)
        assert n_heard < 40 / 5  # what was not yet asked for never is
        assert left_in(tmp_path) == []

    running_in_windows(check)


def test_a_client_that_leaves_before_its_answer_cancels_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inner = FakeRecognizer("Word.", facts=msgspec.structs.replace(FAKE_FACTS, batch_padded_s=20.0))
    gated = GatedRecognizer(inner)

    async def check(app: Litestar, engine: Engine) -> None:
        reader = Reader()
        asking = asyncio.create_task(reader.ask(app))
        await asyncio.to_thread(gated.entered.wait, PATIENCE_S)
        await until(lambda: engine.queue.n_clips + gated.n_entered == 8)  # windows, which fill two batches
        n_withdrawn = engine.queue.n_clips
        with capture_logs() as logs:
            reader.left.set()
            await asking  # over while the first window still runs
        assert engine.queue.n_clips == 0
        gated.let_go.set()
        await until(lambda: engine.runs_for_s == 0)
        assert len(inner.heard) == gated.n_entered == 8 - n_withdrawn
        assert reader.taken == []
        assert left_in(tmp_path) == []
        (finished,) = [event for event in logs if event["event"] == "request_finished"]
        assert finished["left"] is True
        async with httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://test") as client:
            told = (await client.get("/metrics")).text
        assert f'stt_cancelled_requests_total{{route="{TRANSCRIPTIONS}"}} 1.0' in told
        assert f"stt_withdrawn_clips_total {n_withdrawn}.0" in told

    running_in_windows(lambda app, _recognizer, engine: check(app, engine), gated)


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    async def check(app: Litestar, _recognizer: FakeRecognizer, engine: Engine) -> None:
        slow, quick = Reader(stream="true"), Reader(stream="true")
        quick.reads.set()
        asking = asyncio.create_task(slow.ask(app))
        await slow.told.wait()
        await quick.ask(app)
        assert len(slow.taken) == 1
        assert (await asyncio.wrap_future(engine.submit(Clip(tone(1)), Options()))).text == "Word."
        slow.reads.set()
        await asking
        assert b"".join(slow.taken) == b"".join(quick.taken)

    running_in_windows(check)

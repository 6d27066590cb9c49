"""`/v1/realtime`: whole conversations in both dialects, and what is refused while the session goes on."""

import base64
import queue
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from openai.types.beta import realtime as beta_types
from openai.types.realtime import (
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemInputAudioTranscriptionDeltaEvent,
    ConversationItemInputAudioTranscriptionFailedEvent,
    InputAudioBufferClearedEvent,
    InputAudioBufferCommittedEvent,
    InputAudioBufferSpeechStartedEvent,
    InputAudioBufferSpeechStoppedEvent,
    InputAudioBufferTimeoutTriggered,
    RealtimeErrorEvent,
    SessionCreatedEvent,
    SessionUpdatedEvent,
)
from pydantic import BaseModel
from structlog.testing import capture_logs

from app.testing.recognizers import FakeRecognizer

from .realtime import BETA, ITEM, MANUAL, SAMPLES_16K, TRANSCRIPT, quiet, said, talking
from .service import TEXT, Client, serving, tone

SPOKEN: Final = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped")
OPENAI: Final[dict[str, type[BaseModel]]] = {
    "session.created": SessionCreatedEvent,
    "session.updated": SessionUpdatedEvent,
    "transcription_session.updated": beta_types.TranscriptionSessionUpdatedEvent,
    "input_audio_buffer.speech_started": InputAudioBufferSpeechStartedEvent,
    "input_audio_buffer.speech_stopped": InputAudioBufferSpeechStoppedEvent,
    "input_audio_buffer.committed": InputAudioBufferCommittedEvent,
    "input_audio_buffer.cleared": InputAudioBufferClearedEvent,
    "input_audio_buffer.timeout_triggered": InputAudioBufferTimeoutTriggered,
    "conversation.item.added": ConversationItemAdded,
    "conversation.item.done": ConversationItemDone,
    "conversation.item.created": beta_types.ConversationItemCreatedEvent,
    f"{TRANSCRIPT}.delta": ConversationItemInputAudioTranscriptionDeltaEvent,
    f"{TRANSCRIPT}.completed": ConversationItemInputAudioTranscriptionCompletedEvent,
    f"{TRANSCRIPT}.failed": ConversationItemInputAudioTranscriptionFailedEvent,
    "error": RealtimeErrorEvent,
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as (client, _):
        yield client


def without_deltas(types: list[str]) -> list[str]:
    return [kind for kind in types if kind != f"{TRANSCRIPT}.delta"]


# Conversations


def test_an_utterance_found_by_voice_is_told_in_order(client: Client) -> None:
    with talking(client) as talk:
        created = talk.next()
        talk.update(SAMPLES_16K)
        assert talk.utterance(said()) == TEXT
    assert created["session"]["audio"]["input"]["transcription"]["model"] == "fake"
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert without_deltas(talk.types) == [
        "session.created", "session.updated", *SPOKEN, *ITEM, f"{TRANSCRIPT}.completed",
    ]  # fmt: skip
    by_type = {event["type"]: event for event in talk.told}
    assert abs(by_type[SPOKEN[0]]["audio_start_ms"] - 200) <= 32  # 500 ms of quiet less the padding, in frames
    assert abs(by_type[SPOKEN[1]]["audio_end_ms"] - 1_700) <= 64  # the speech's end and 200 ms of silence
    assert len({event["item_id"] for event in talk.told if "item_id" in event}) == 1
    assert by_type[f"{TRANSCRIPT}.completed"]["usage"]["type"] == "duration"
    assert 1.3 < by_type[f"{TRANSCRIPT}.completed"]["usage"]["seconds"] < 1.7


def test_items_follow_one_another(client: Client) -> None:
    with talking(client) as talk:
        talk.update(SAMPLES_16K)
        assert [talk.utterance(said()) for _ in range(3)] == [TEXT] * 3
    committed = [event for event in talk.told if event["type"] == ITEM[0]]
    ids = [event["item_id"] for event in committed]
    assert [event["previous_item_id"] for event in committed] == [None, *ids[:-1]]
    assert len({event["event_id"] for event in talk.told}) == len(talk.told)
    deltas = dict.fromkeys(ids, "")
    for event in talk.told:
        if event["type"] == f"{TRANSCRIPT}.delta":
            deltas[event["item_id"]] += event["delta"]
    assert list(deltas.values()) == [TEXT] * 3


def test_stable_words_come_while_someone_speaks(client: Client) -> None:
    with talking(client) as talk:
        talk.update(SAMPLES_16K)
        talk.append(tone(0.5))
        talk.until(SPOKEN[0])
        for _ in range(200):  # until two partials agree; each needs new sound and a fifth of a second
            talk.append(tone(0.1))
            try:
                if talk.session.receive_json(timeout=0.1)["type"] == f"{TRANSCRIPT}.delta":
                    return
            except queue.Empty:
                continue
    pytest.fail("no delta came")


def test_a_commit_ends_an_utterance_where_nothing_else_does(client: Client) -> None:
    with talking(client) as talk:
        assert talk.update(MANUAL)["audio"]["input"]["turn_detection"] is None
        talk.append(said())
        talk.append(said())
        talk.send("input_audio_buffer.commit")
        assert talk.until(f"{TRANSCRIPT}.completed")["transcript"] == TEXT
    assert without_deltas(talk.types) == ["session.created", "session.updated", *ITEM, f"{TRANSCRIPT}.completed"]
    assert talk.told[-1]["usage"]["seconds"] == pytest.approx(5.0, abs=0.01)


def test_a_commit_during_speech_skips_speech_stopped(client: Client) -> None:
    with talking(client) as talk:
        talk.update(SAMPLES_16K)
        talk.append(tone(1.0))
        talk.until(SPOKEN[0])
        talk.send("input_audio_buffer.commit")
        assert talk.until(f"{TRANSCRIPT}.completed")["transcript"] == TEXT
    assert without_deltas(talk.types[2:]) == [SPOKEN[0], *ITEM, f"{TRANSCRIPT}.completed"]


def test_what_is_cleared_is_never_told_again(client: Client) -> None:
    with talking(client) as talk:
        talk.update(SAMPLES_16K)
        talk.append(tone(1.0))
        forgotten = talk.until(SPOKEN[0])["item_id"]
        talk.send("input_audio_buffer.clear")
        talk.until("input_audio_buffer.cleared")
        n_told = len(talk.told)
        assert talk.utterance(said()) == TEXT
    committed = next(event for event in talk.told if event["type"] == ITEM[0])
    assert committed["previous_item_id"] is None
    assert forgotten not in [event.get("item_id") for event in talk.told[n_told:]]


def test_clearing_nothing_is_answered_too(client: Client) -> None:
    with talking(client) as talk:
        talk.send("input_audio_buffer.clear")
        talk.until("input_audio_buffer.cleared")
    assert talk.types == ["session.created", "input_audio_buffer.cleared"]


def test_too_little_to_commit_is_an_error_and_the_session_goes_on(client: Client) -> None:
    with talking(client) as talk:
        talk.update(MANUAL)
        empty = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty", "param": None}
        assert talk.error("input_audio_buffer.commit", event_id="e1") == {**empty, "event_id": "e1"}
        talk.append(tone(0.09))
        assert talk.error("input_audio_buffer.commit") == {**empty, "event_id": None}
        talk.append(tone(0.02))
        talk.send("input_audio_buffer.commit")
        assert talk.until(f"{TRANSCRIPT}.completed")["transcript"] == TEXT


def test_silence_is_told_as_a_timeout_where_one_is_set(client: Client) -> None:
    with talking(client) as talk:
        talk.update({"audio": {"input": {**SAMPLES_16K["audio"]["input"], "turn_detection": {"idle_timeout_ms": 5_000}}}})
        talk.append(quiet(5.5), n_samples=16_000)
        assert talk.until(f"{TRANSCRIPT}.completed")["transcript"] == ""
    assert talk.types[2:] == ["input_audio_buffer.timeout_triggered", *ITEM, f"{TRANSCRIPT}.completed"]
    triggered = talk.told[2]
    assert triggered["audio_start_ms"] == 0
    assert 5_000 <= triggered["audio_end_ms"] <= 6_000


def test_the_beta_s_marker_has_the_beta_spoken(client: Client) -> None:
    for marker in ({"headers": BETA}, {"subprotocols": ["realtime", "openai-beta.realtime-v1"]}):
        with talking(client, **marker) as talk:
            session = talk.update({"input_audio_format": "g711_ulaw", "turn_detection": None}, event="transcription_session.update")
            assert session["input_audio_format"] == "g711_ulaw"
            silence = base64.b64encode(b"\xff" * 8_000).decode()
            talk.send("input_audio_buffer.append", audio=silence)
            talk.send("input_audio_buffer.commit")
            assert talk.until(f"{TRANSCRIPT}.completed")["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)
        assert without_deltas(talk.types) == [
            "transcription_session.created",
            "transcription_session.updated",
            "input_audio_buffer.committed",
            "conversation.item.created",
            f"{TRANSCRIPT}.completed",
        ]


def test_an_update_may_come_before_anything_is_read_and_shows_the_beta(client: Client) -> None:
    with talking(client) as talk:
        talk.update({"turn_detection": None}, event="transcription_session.update")
        talk.append(tone(1.5))  # 24 kHz here
        talk.send("input_audio_buffer.commit")
        talk.until(f"{TRANSCRIPT}.completed")
    assert without_deltas(talk.types)[-3:-1] == ["input_audio_buffer.committed", "conversation.item.created"]


@pytest.mark.parametrize(
    ("sent", "n_bytes"),
    [
        ({"type": "audio/pcm", "rate": 8_000}, 16_000),
        ({"type": "audio/pcm", "rate": 24_000}, 48_000),
        ({"type": "audio/pcm", "rate": 48_000}, 96_000),
        ({"type": "audio/pcmu"}, 8_000),
        ({"type": "audio/pcma"}, 8_000),
    ],
)
def test_a_second_is_a_second_in_every_format(client: Client, sent: dict[str, Any], n_bytes: int) -> None:
    with talking(client) as talk:
        talk.update({"audio": {"input": {"format": sent, "turn_detection": None}}})
        for size in (n_bytes // 3, n_bytes - n_bytes // 3):  # cut within a sample
            talk.send("input_audio_buffer.append", audio=base64.b64encode(b"\x11" * size).decode())
        talk.send("input_audio_buffer.commit")
        assert talk.until(f"{TRANSCRIPT}.completed")["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)


def test_log_probabilities_come_if_included(client: Client) -> None:
    with talking(client) as talk:
        talk.update({**SAMPLES_16K, "include": ["item.input_audio_transcription.logprobs"]})
        talk.utterance(said())
    completed = talk.told[-1]
    assert "".join(one["token"] for one in completed["logprobs"]) == TEXT
    deltas = [one for event in talk.told if event["type"] == f"{TRANSCRIPT}.delta" for one in event["logprobs"]]
    assert deltas == completed["logprobs"]


def test_keywords_reach_the_recogniser() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _), talking(client) as talk:
        talk.update({"audio": {"input": {**MANUAL["audio"]["input"], "transcription": {"keywords": ["Nobody"]}}}})
        talk.append(tone(1.0))
        talk.send("input_audio_buffer.commit")
        talk.until(f"{TRANSCRIPT}.completed")
    assert {options.keywords for options in recognizer.asked} == {("Nobody",)}


def test_a_failed_utterance_is_told_and_the_next_is_heard() -> None:
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.samples.max() > 0.5)
    with serving(recognizer=recognizer) as (client, _), talking(client) as talk:
        talk.update(MANUAL)
        with capture_logs():
            talk.append(np.float32(3) * tone(1.0))
            talk.send("input_audio_buffer.commit")
            failed = talk.until(f"{TRANSCRIPT}.failed")
        assert (failed["error"]["type"], failed["error"]["code"]) == ("server_error", "internal_error")
        talk.append(tone(1.0))
        talk.send("input_audio_buffer.commit")
        assert talk.until(f"{TRANSCRIPT}.completed")["transcript"] == TEXT
    committed = [event for event in talk.told if event["type"] == ITEM[0]]
    assert committed[1]["previous_item_id"] == failed["item_id"]


def test_every_event_has_the_fields_openai_s_client_knows() -> None:
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.samples.max() > 0.5)
    seen: dict[str, dict[str, Any]] = {}
    with serving(recognizer=recognizer) as (client, _), capture_logs():
        for beta in (False, True):
            with talking(client, headers=BETA if beta else None) as talk:
                if beta:
                    model = {"input_audio_transcription": {"model": "whisper-1"}}  # one of those the client knows
                    talk.update(model, event="transcription_session.update")
                else:
                    talk.update({"audio": {"input": {"turn_detection": {"idle_timeout_ms": 5_000}}}})
                talk.utterance(said())  # at 24 kHz two thirds as long
                talk.append(np.float32(3) * said())
                talk.until(f"{TRANSCRIPT}.failed")
                talk.error("response.create")
                if not beta:
                    talk.append(quiet(9.0), n_samples=48_000)
                    talk.until("input_audio_buffer.timeout_triggered")
                talk.send("input_audio_buffer.clear")
                talk.until("input_audio_buffer.cleared")
            seen.update({event["type"]: event for event in talk.told})
    assert set(seen) == {*OPENAI, "transcription_session.created"}
    assert seen["transcription_session.updated"]["session"].pop("client_secret") is None  # of which the client knows only REST's
    seen["transcription_session.updated"]["session"]["client_secret"] = {"value": "", "expires_at": 0}
    for kind, known in OPENAI.items():
        strict = known.model_validate(seen[kind])  # raises if one that is needed is missing, or is of another type
        unknown = {*seen[kind]} - {*type(strict).model_fields}
        assert not unknown, kind


# What is refused while the session goes on


@pytest.mark.parametrize(
    ("kind", "members", "code", "param"),
    [
        ("session.update", {"session": {"voice": "alloy"}}, "unknown_parameter", "session.voice"),
        ("session.update", {"session": {"type": "realtime"}}, "invalid_value", "session.type"),
        ("transcription_session.update", {"session": {"voice": "x"}}, "unknown_parameter", "session.voice"),
        ("input_audio_buffer.append", {"audio": "no base64"}, "invalid_value", "audio"),
        ("input_audio_buffer.append", {}, "invalid_value", "audio"),
        ("response.create", {}, "unsupported_value", "type"),
        ("conversation.item.create", {"item": {}}, "unsupported_value", "type"),
        ("input_audio_buffer.apend", {"audio": ""}, "invalid_event", "type"),
    ],
)
def test_what_is_refused_is_told_and_nothing_else_changes(
    client: Client, kind: str, members: dict[str, Any], code: str, param: str
) -> None:
    with talking(client) as talk:
        before = talk.update(SAMPLES_16K)
        refusal = {"type": "invalid_request_error", "code": code, "param": param, "event_id": "e9"}
        assert talk.error(kind, event_id="e9", **members) == refusal
        assert talk.update({}) == before
        assert talk.utterance(said()) == TEXT


@pytest.mark.parametrize("frame", ["", "{", "[]", "5", '{"event_id": "e1"}', b"\x00\xff\x12", b'{"type": 1}'])
def test_what_is_no_event_is_told_so(client: Client, frame: str | bytes) -> None:
    with talking(client) as talk:
        talk.session.send(frame, mode="text" if isinstance(frame, str) else "binary")
        assert talk.until("error")["error"]["code"] == "invalid_event"
        talk.update({})


def test_events_may_come_as_binary_frames(client: Client) -> None:
    with talking(client) as talk:
        talk.session.send_bytes(b'{"type": "session.update", "session": {"audio": {"input": {"turn_detection": null}}}}')
        assert talk.until("session.updated")["session"]["audio"]["input"]["turn_detection"] is None


def test_an_append_of_15_mib_is_taken(client: Client) -> None:
    with talking(client) as talk:
        talk.update({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 48_000}, "turn_detection": None}}})
        talk.send("input_audio_buffer.append", audio=base64.b64encode(bytes(15 * 1024 * 1024)).decode())
        talk.send("input_audio_buffer.commit")
        committed = talk.until("input_audio_buffer.committed", "error")
        assert committed["type"] == "input_audio_buffer.committed"
        seconds = talk.until(f"{TRANSCRIPT}.completed")["usage"]["seconds"]
        assert seconds == pytest.approx(15 * 1024 * 1024 / 96_000, abs=0.01)

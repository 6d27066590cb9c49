"""A recording that is sent to a live session as fast as it goes: it is heard to its end, and delays nobody who speaks."""

from typing import Final

import numpy as np

from app.domain.audio import MODEL_RATE_HZ
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .live import numbers_of, rest_of, shorts, talk, wait_until
from .service import PATIENCE_S, TEXT, serving, tone

SAID: Final = shorts(np.concatenate([tone(1.0), np.zeros(MODEL_RATE_HZ, np.float32)]))  # 2 s, an utterance
SPOKEN: Final = shorts(np.concatenate([tone(2.0), np.zeros(MODEL_RATE_HZ, np.float32)]))


def test_what_is_spoken_goes_before_what_is_left_of_a_recording() -> None:
    inner = FakeRecognizer(TEXT)
    gated = GatedRecognizer(inner)
    with serving(recognizer=gated) as (client, _), client.websocket_connect("/ws") as recording:
        recording.send_bytes(SAID * 20)
        assert gated.entered.wait(PATIENCE_S)
        wait_until(lambda: numbers_of(client)["stt_queue_items"] >= 15)
        with client.websocket_connect("/ws") as speaker:
            speaker.send_bytes(SPOKEN)
            assert speaker.receive_json(timeout=PATIENCE_S) == {"status": "queued"}
            gated.let_go.set()
            assert speaker.receive_json(timeout=PATIENCE_S)["text"] == TEXT
            speaker.send_json({"type": "finish"})
            assert rest_of(speaker).code == 1000
        recording.send_json({"type": "finish"})
        heard = rest_of(recording)
    assert heard.texts == [TEXT] * 20
    (spoken_at,) = [at for at, clip in enumerate(inner.heard) if clip.duration_s > 2]
    assert len(inner.heard) - spoken_at > 10


def test_a_client_that_leaves_while_its_recording_is_held_back_is_noticed_before_the_model_has_room() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT), patience_s=2 * PATIENCE_S)
    with serving(recognizer=gated) as (client, _):
        with client.websocket_connect("/ws") as recording:
            recording.send_bytes(SAID * 100)
            wait_until(lambda: numbers_of(client)["stt_queue_items"] > 30)
            recording.close()
            wait_until(lambda: numbers_of(client) == {"stt_live_sessions": 0, "stt_queue_items": 0})
        assert not gated.let_go.is_set()
        gated.let_go.set()


def test_a_recording_waits_for_the_model_where_speech_would_be_too_much() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(live_backlog_s=90), recognizer=gated) as (client, _):
        with client.websocket_connect("/ws") as recording:
            recording.send_bytes(SAID * 100)  # 100 s of it to be recognised
            recording.send_json({"type": "finish"})
            wait_until(lambda: numbers_of(client)["stt_queue_items"] > 30)
            gated.let_go.set()
            heard = rest_of(recording)
        assert (heard.texts, heard.errors, heard.code) == ([TEXT] * 100, [], 1000)
        assert talk(client, [SAID]).texts == [TEXT]

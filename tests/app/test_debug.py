"""What an operator may look at: settings, batches, stacks."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.domain.audio import Clip
from app.domain.ports import Options
from app.entrypoints.batch_log import KEPT, BatchLog
from app.settings import Settings, fields
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .service import PATIENCE_S, TEXT, make_container, send, serving, tone, wav


def test_settings_are_shown_beside_their_defaults_and_keys_are_not() -> None:
    with serving(Settings(api_keys=("hush", "hush-too"), window_s=7)) as (client, _):
        answer = client.get("/debug/settings", headers={"authorization": "Bearer hush"})
    assert "hush" not in answer.text
    shown = answer.json()
    assert list(shown) == list(fields())
    assert shown["window_s"] == {"value": 7, "default": 30}
    assert shown["api_keys"] == {"value": "2 hidden", "default": []}


class Configured(FakeRecognizer):
    """Tells whether it was asked on an event loop."""

    def configuration(self) -> Mapping[str, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return {"on a loop": False}
        return {"on a loop": True}


def test_the_model_configuration_is_written_down_beside_the_event_loop() -> None:
    with serving(recognizer=Configured(TEXT)) as (client, _):
        assert client.get("/debug/cfg").text == "on a loop: false\n"
        assert client.get("/debug/cfg", headers={"accept": "application/json"}).json() == {"on a loop": False}


def test_batches_are_shown_with_their_fill_and_their_times_the_latest_first() -> None:
    with serving(recognizer=FakeRecognizer(TEXT, fails_on=lambda clip: clip.duration_s == 2.0)) as (client, container):
        assert client.get("/debug/batches").json() == []
        send(client, wav(1.5))
        container.engine().submit(Clip(tone(1)), Options(), live=True).result(PATIENCE_S)
        send(client, wav(2))
        shown = client.get("/debug/batches").json()
    told = [(batch["priority"], batch["clips"], batch["audio_s"], batch["fill"], batch["failed"]) for batch in shown]
    assert told == [("file", 1, 2.0, 1.0, True), ("live", 1, 1.0, 1.0, False), ("file", 1, 1.5, 1.0, False)]
    for batch in shown:
        assert batch["run_s"] >= 0
        assert batch["longest_wait_s"] >= 0
        assert batch["ended_unix_s"] > 1.7e9
        assert batch["padded_s"] == batch["audio_s"]


def test_no_more_batches_are_kept_than_there_is_room_for() -> None:
    engine = make_container(Settings(), FakeRecognizer).engine()
    kept = BatchLog(engine, unix_s=lambda: 1.0)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    for _ in range(KEPT + 2):
        engine.submit(Clip(tone(0.1)), Options()).result(PATIENCE_S)
    engine.submit(Clip(tone(0.2)), Options()).result(PATIENCE_S)
    engine.close()
    assert len(kept.latest) == KEPT
    assert kept.latest[0].audio_s == 0.2


def test_stacks_show_threads_and_tasks_and_no_values() -> None:
    gate = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(recognizer=gate) as (client, _), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, client)
        assert gate.entered.wait(PATIENCE_S)
        answer = client.get("/debug/stacks")
        gate.let_go.set()
        assert waiting.result(PATIENCE_S).status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert f"thread {threading.main_thread().name}" in answer.text
    assert "thread engine" in answer.text
    assert "in recognize" in answer.text  # what the engine's thread stands in
    assert "task " in answer.text
    assert TEXT not in answer.text

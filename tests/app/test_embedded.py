"""A model in somebody else's process: the façade over files and live sound, with fakes behind the ports."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from threading import Thread, current_thread
from typing import Final

import numpy as np
import pytest

from app.domain.cancel import CancelToken
from app.domain.errors import AudioRejectedError, CancelledError, ModelUnavailableError
from app.domain.live_events import Event
from app.domain.live_events import Final as FinalEvent
from app.domain.live_rules import LiveRules
from app.domain.ports import Resampler
from app.entrypoints.embedded import SpeechToText, load
from app.settings import Settings
from app.testing.fakes import FakeNormalizer
from app.testing.recognizers import FakeRecognizer
from tests.app.service import make_container, wav

TEXT: Final = "Nobody else may read this."


@pytest.fixture
def speech() -> Iterator[SpeechToText]:
    with SpeechToText(make_container(Settings(), lambda: FakeRecognizer(TEXT))) as loaded:
        yield loaded


def test_a_file_is_heard_by_path_and_by_handle(speech: SpeechToText, tmp_path: Path) -> None:
    (path := tmp_path / "a.wav").write_bytes(wav(2.0))
    assert speech.hear(path).text == speech.hear(str(path)).text == speech.hear(io.BytesIO(wav(2.0))).text == TEXT
    assert speech.facts.model_id == "fake"


def test_the_last_part_tells_how_long_the_file_is(speech: SpeechToText) -> None:
    parts = list(speech.transcribe(io.BytesIO(wav(2.0))))
    assert [part.last for part in parts] == [False, True]
    assert parts[-1].heard_s == 2.0


def test_failures_are_those_of_the_domain(speech: SpeechToText, tmp_path: Path) -> None:
    with pytest.raises(AudioRejectedError):
        speech.hear(io.BytesIO(b"no audio"))
    with pytest.raises(FileNotFoundError):
        speech.hear(tmp_path / "missing.wav")
    (cancel := CancelToken()).cancel()
    with pytest.raises(CancelledError):
        list(speech.transcribe(io.BytesIO(wav()), cancel=cancel))


def test_live_sound_is_written_down(speech: SpeechToText) -> None:
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    async def talk() -> None:
        async with speech.live(tell, LiveRules(), encoding="pcm_f32le", rate_hz=8_000) as session:
            await session.push(np.full(8_000, 0.25, np.float32).tobytes())
            await session.finish()

    asyncio.run(talk())
    assert [event.transcript.text for event in told if isinstance(event, FinalEvent)] == [TEXT]


def test_a_call_that_is_cancelled_loses_nothing_unsaid(speech: SpeechToText) -> None:
    """Its sound was heard, and what came of it went with the call."""

    async def talk() -> None:
        told, go_on = asyncio.Event(), asyncio.Event()

        async def stand_still(_: Event) -> None:
            told.set()
            await go_on.wait()

        async with speech.live(stand_still, encoding="pcm_f32le") as session:
            pushing = asyncio.create_task(session.push(np.full(16_000, 0.25, np.float32).tobytes()))
            await told.wait()
            pushing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pushing
            go_on.set()
            with pytest.raises(CancelledError, match="open another session"):
                await session.finish()

    asyncio.run(talk())


def test_filters_are_made_beside_the_event_loop() -> None:
    """Those of odd rates take long."""
    made_by: list[Thread] = []

    class Noting(FakeNormalizer):
        def open_resampler(self, *, source_rate_hz: int) -> Resampler:
            made_by.append(current_thread())
            return super().open_resampler(source_rate_hz=source_rate_hz)

    async def tell(_: Event) -> None: ...

    async def talk(speech: SpeechToText) -> None:
        async with speech.live(tell) as session:
            await session.listen_to("pcm_s16le", 8_000)

    with SpeechToText(make_container(Settings(), lambda: FakeRecognizer(TEXT), Noting())) as speech:
        asyncio.run(talk(speech))
    assert len(made_by) == 2
    assert current_thread() not in made_by


def test_a_model_that_cannot_be_had_is_said() -> None:
    with pytest.raises(ModelUnavailableError, match="STT_RECOGNIZER=nowhere:make cannot be imported"):
        load(Settings(recognizer="nowhere:make"))

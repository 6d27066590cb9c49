"""Several models in one process: each batch goes to one that is free, and never two to the same."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import numpy as np
import pytest

from app.adapters.several.recognizer import SeveralRecognizers
from app.container import Container
from app.domain.audio import Clip
from app.domain.errors import DeviceFailedError, ModelUnavailableError
from app.domain.ports import DeviceMemory, Options, Recognizer
from app.settings import Settings
from app.testing.recognizers import FAKE_FACTS, FakeRecognizer
from tests.recordings import recordings

PATIENCE_S: Final = 60.0
CLIP: Final = Clip(np.ones(16_000, np.float32))


class Roomy(FakeRecognizer):
    def device_memory(self) -> DeviceMemory | None:
        return DeviceMemory(total_bytes=100, used_bytes=10, reserved_bytes=1)


def named(name: str, meet: Callable[[], object] = lambda: None) -> FakeRecognizer:
    def say(_clip: Clip) -> str:
        meet()
        return name

    return FakeRecognizer(say, facts=msgspec.structs.replace(FAKE_FACTS, device=name))


def asked(recognizer: Recognizer, n: int) -> Sequence[str]:
    """Ask on as many threads as the recogniser allows, and return what came, sorted."""
    with ThreadPoolExecutor(recognizer.facts.max_concurrent_batches) as owners:
        answers = [owners.submit(recognizer.recognize, [CLIP], [Options()]) for _ in range(n)]
        return sorted(answer.result(PATIENCE_S)[0].text for answer in answers)


def test_all_devices_run_at_a_time_and_each_has_one_batch() -> None:
    all_run = threading.Barrier(3)
    several = SeveralRecognizers([named(name, lambda: all_run.wait(PATIENCE_S)) for name in ("a", "b", "c")])
    assert (several.facts.max_concurrent_batches, several.facts.prepares_ahead, several.facts.device) == (3, False, "a, b, c")
    assert asked(several, 6) == ["a", "a", "b", "b", "c", "c"]


def test_one_that_fails_is_free_again_and_a_lost_device_is_told() -> None:
    def fail(_clip: Clip) -> str:
        raise DeviceFailedError("it is lost")

    several = SeveralRecognizers([FakeRecognizer(fail), named("b")])
    for _ in range(2):
        with pytest.raises(DeviceFailedError):
            several.recognize([CLIP], [Options()])
        assert several.recognize([CLIP], [Options()])[0].text == "b"


def test_memory_is_that_of_all_devices_that_have_their_own() -> None:
    assert SeveralRecognizers([named("a"), named("b")]).device_memory() is None
    found = SeveralRecognizers([Roomy("a"), named("b"), Roomy("c")]).device_memory()
    assert found == DeviceMemory(total_bytes=200, used_bytes=20, reserved_bytes=2)


def test_devices_that_would_write_different_texts_are_refused() -> None:
    other = FakeRecognizer("a", facts=msgspec.structs.replace(FAKE_FACTS, precision="bfloat16"))
    with pytest.raises(ModelUnavailableError, match=r"in bfloat16 and .* in float32; set STT_PRECISION"):
        SeveralRecognizers([FakeRecognizer("a"), other])


def made_here(settings: Settings) -> FakeRecognizer:
    return named(settings.device)


def test_each_device_of_the_settings_gets_a_recogniser() -> None:
    recognizer = Container(settings=Settings(recognizer=f"{__name__}:made_here", device="cuda:0,cuda:1")).recognizer()
    assert asked(recognizer, 2) == ["cuda:0", "cuda:1"]


def test_two_bundled_models_in_one_process_write_what_one_does(bundled_recognizer: Recognizer) -> None:
    recognizer = Container(settings=Settings(model="bundled", device="cpu,cpu")).recognizer()
    clips = [spoken.clip for spoken in recordings()[:4]]
    alone = [bundled_recognizer.recognize([clip], [Options()])[0].text for clip in clips]
    with ThreadPoolExecutor(2) as owners:
        answers = list(owners.map(lambda clip: recognizer.recognize([clip], [Options()])[0].text, clips))
    assert answers == alone

"""`parakeet-stt listen` through a running service with fakes behind its ports, and with a microphone that is one, too."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self

import numpy as np
import pytest
import structlog

from app.entrypoints.cli.main import main
from app.entrypoints.logs import configure_logs
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer, GatedRecognizer
from tests.app.service import PATIENCE_S, wav

from .page import listening

TEXT: Final = "Hello."  # one word: a fake says no part of a longer text where it was said
RATE_HZ: Final = 44_100  # of the microphone
SPOKEN: Final = np.full(RATE_HZ // 2, 8_192, "<i2").tobytes()


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """What the service logs belongs on standard error, from its first event on."""
    configure_logs(Settings())
    yield
    structlog.reset_defaults()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path := tmp_path / "said.wav").write_bytes(wav(0.6))
    return path


@pytest.fixture
def presses() -> Iterator[Callable[[], None]]:
    """Something that presses Ctrl-C; pytest's own handler is put back."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


class _Stream:
    """Somebody speaks for half a second, and `then` happens."""

    then: Callable[[], None]

    def __init__(self, *, samplerate: int, channels: int, dtype: str, callback: Callable[..., None], **_: Any) -> None:
        assert (samplerate, channels, dtype) == (RATE_HZ, 1, "int16")
        self._callback = callback

    def __enter__(self) -> Self:
        self._callback(SPOKEN, RATE_HZ // 2, None, None)
        self.then()
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None: ...


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> type[_Stream]:
    """The library that hears microphones, with a microphone in it."""
    library: Any = ModuleType("sounddevice")
    library.PortAudioError = type("PortAudioError", (Exception,), {})
    library.query_devices = lambda *_: {"name": "fake", "default_samplerate": float(RATE_HZ)}
    library.RawInputStream = type("Stream", (_Stream,), {})
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return library.RawInputStream  # type: ignore[no-any-return]


def test_a_file_is_heard_through_a_service_that_asks_for_a_key(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Settings(api_keys=("open-sesame",)), lambda: FakeRecognizer(TEXT)) as url:
        arguments = ["listen", str(file), "--server", f"{url}/v1", "--words", "--format", "json", "--keywords", "hello,there"]
        assert main([*arguments, "--api-key", "open-sesame"]) == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert (told[-1]["text"], told[-1]["final"], told[-1]["start"]) == (TEXT, True, 0.0)
        assert [word["word"] for word in told[-1]["words"]] == TEXT.split()
        assert all("stable" in message for message in told[:-1])
        assert main([*arguments, "--api-key", "wrong"]) == 1
    assert "API key" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", str(file), "--server", "http://127.0.0.1:1"]) == 1
    assert "the service cannot be reached" in capsys.readouterr().err


def test_an_utterance_that_fails_is_told_and_the_status_says_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Settings(), lambda: FakeRecognizer(TEXT, fails_on=lambda _: True)) as url:
        assert main(["listen", str(file), "--server", url]) == 1
    assert "failed: utterance 1: " in capsys.readouterr().err


def test_ctrl_c_ends_the_sound_and_what_was_said_is_still_told(
    microphone: type[_Stream], presses: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    microphone.then = staticmethod(presses)
    with listening(Settings(), lambda: FakeRecognizer(TEXT)) as url:
        assert main(["listen", "--server", url]) == 0
    assert capsys.readouterr().out == f"[0:00] {TEXT}\n"


def test_a_second_ctrl_c_gives_up(
    microphone: type[_Stream], presses: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))

    def press_twice() -> None:
        presses()
        assert gated.entered.wait(PATIENCE_S)
        presses()

    microphone.then = staticmethod(lambda: threading.Thread(target=press_twice).start())
    with listening(Settings(), lambda: gated) as url:
        try:
            assert main(["listen", "--server", url]) == 130
        finally:
            gated.let_go.set()
    assert capsys.readouterr().out == ""

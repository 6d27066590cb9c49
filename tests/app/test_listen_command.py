"""`parakeet-stt listen` in this process: real voice detection on real speech, and a recogniser that says what it is told to."""

import json
import os
import sys
import wave
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Final

import pytest
import structlog
from rich.console import Console

from app.entrypoints.cli.captions import OnTerminal
from app.entrypoints.cli.main import main
from app.entrypoints.websocket.plain_messages import Text
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

TEXT: Final = "Hello."  # one word: a fake says no part of a longer text where it was said
SAMPLE: Final = Path(__file__).parents[2] / "app" / "samples" / "hello.wav"
SHORT_S: Final = 1.5


def fake(_settings: Settings) -> FakeRecognizer:
    return FakeRecognizer(TEXT)


def run(*arguments: str, recognizer: str = "fake") -> int:
    return main(["listen", "--recognizer", f"{__name__}:{recognizer}", *arguments])


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raw speech on standard input, at once and to its end."""
    with wave.open(str(SAMPLE)) as sample:
        sound = sample.readframes(sample.getnframes())
    reads, writes = os.pipe()

    def write() -> None:
        with os.fdopen(writes, "wb") as pipe:
            pipe.write(sound)

    Thread(target=write).start()
    with os.fdopen(reads, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield


@pytest.mark.usefixtures("piped")
def test_a_pipe_is_heard_by_a_model_of_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-") == 0
    assert capsys.readouterr().out == f"[0:00] {TEXT}\n"


def test_a_file_is_heard_at_the_pace_of_speech_and_told_while_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with wave.open(str(SAMPLE)) as sample, wave.open(str(tmp_path / "short.wav"), "wb") as short:
        short.setparams(sample.getparams())
        short.writeframes(sample.readframes(round(SHORT_S * sample.getframerate())))
    begun_s = monotonic()
    assert run(str(tmp_path / "short.wav"), "--format", "json") == 0
    assert monotonic() - begun_s >= SHORT_S
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [message["final"] for message in told] == [False] * (len(told) - 1) + [True]
    assert len(told) > 1
    assert told[-1]["text"] == TEXT


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("missing.wav",), 2, "missing.wav: No such file or directory"),
        (("/dev",), 2, "/dev is no file; raw samples of a pipe are heard as `-`"),
        (("-", "--rate", "1"), 2, "--rate must be from 8000 to 48000"),
        (("-", "--keywords", "x" * 101), 2, "may have at most 100 characters"),
        (("-", "--server", "ftp://host"), 2, "a service has an address like"),
        ((__file__,), 1, "nothing in the file can be decoded"),
        (("-",), 1, "cannot be imported"),
    ],
)
def test_what_cannot_be_heard_is_told(
    arguments: tuple[str, ...], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, recognizer="nobody") == status
    assert told in capsys.readouterr().err


def test_a_microphone_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run() == 1
    assert "pip install 'parakeet-stt[mic]'" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run() == 1
    assert "apt-get install libportaudio2" in capsys.readouterr().err
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception): ...\ndef query_devices(*_): raise PortAudioError('Error querying device -1')\n"
    )
    for named, told in (((), "there is no microphone: "), (("--microphone", "USB"), "there is no microphone USB: ")):
        assert run(*named) == 1
        assert told in capsys.readouterr().err


def test_on_a_terminal_what_may_still_change_is_dim() -> None:
    screen = StringIO()
    captions = OnTerminal(Console(file=screen, force_terminal=True, color_system="standard", width=60))
    captions.show(Text(text="Nobody else", utterance=1, final=False, start=61.0, end=62.0, stable="Nobody", tentative=" else"))
    assert "[1:01] \x1b[0mNobody\x1b[2m else\x1b[0m" in screen.getvalue()
    captions.show(Text(text=TEXT, utterance=1, final=True, start=61.0, end=63.0))
    captions.close()
    assert f"[1:01] \x1b[0m{TEXT}\n" in screen.getvalue()

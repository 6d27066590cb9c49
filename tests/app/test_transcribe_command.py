"""`parakeet-stt transcribe` in this process, with a recogniser that says what it is told to."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
import structlog

from app.domain.audio import Clip
from app.entrypoints.cli.main import main
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer
from tests.app.service import wav

TEXT: Final = "Nobody else may read this."


def fake(_settings: Settings) -> FakeRecognizer:
    return FakeRecognizer(TEXT)


def interrupting(_settings: Settings) -> FakeRecognizer:
    """Says its text, and presses Ctrl-C over the second clip."""
    n_heard = 0

    def say(_clip: Clip) -> str:
        nonlocal n_heard
        n_heard += 1
        if n_heard == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return TEXT

    return FakeRecognizer(say)


def run(*arguments: str, recognizer: str = "fake") -> int:
    return main(["transcribe", "--recognizer", f"{__name__}:{recognizer}", *arguments])


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name in ("a.wav", "b.wav", "deep/c.wav", "deep/.hidden/d.wav", "notes.md"):
        (path := folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav())
    return folder


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_written_in_every_format_and_done_only_once(recordings: Path, tmp_path: Path) -> None:
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    arguments = (str(recordings), "--format", "srt,text", "--output-dir", str(out), "--summary", str(summary))
    assert run(*arguments) == 0
    assert written(out) == {f"{stem}{ending}" for stem in ("a", "b", "deep/c") for ending in (".srt", ".txt")}
    assert (out / "deep" / "c.txt").read_text() == f"{TEXT}\n"
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    (out / "b.srt").unlink()
    assert run(*arguments, recognizer="fake") == 0
    told = msgspec.json.decode(summary.read_bytes())
    assert (told["done"], told["skipped"], told["failed"]) == (1, 2, 0)
    assert (out / "a.txt").stat().st_mtime_ns == first[out / "a.txt"]
    assert (out / "b.srt").is_file()


def test_ctrl_c_leaves_whole_files_alone_and_the_next_run_goes_on(recordings: Path, tmp_path: Path) -> None:
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    arguments = (str(recordings), "--output-dir", str(out), "--jobs", "1", "--summary", str(summary))
    assert run(*arguments, recognizer="interrupting") == 130
    assert {"a.txt"} <= written(out) <= {"a.txt", "b.txt"}
    assert {path.read_text() for path in out.rglob("*.*")} == {f"{TEXT}\n"}
    assert msgspec.json.decode(summary.read_bytes())["files"][-1]["status"] == "interrupted"
    assert run(*arguments) == 0
    assert written(out) == {"a.txt", "b.txt", "deep/c.txt"}


def test_one_recording_goes_to_standard_output(recordings: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(str(recordings / "a.wav"), "--format", "verbose_json", "--words") == 0
    told = msgspec.json.decode(capfdbinary.readouterr().out)
    assert [word["word"] for word in told["words"]] == ["Nobody", "else", "may", "read", "this"]
    assert told["duration"] == 1.0


def test_names_that_differ_in_their_ending_stay_apart(recordings: Path, tmp_path: Path) -> None:
    (recordings / "a.flac").write_bytes(wav())
    assert run(str(recordings / "*.*a*"), str(recordings / "a.wav"), "--output-dir", str(tmp_path / "out")) == 0
    assert written(tmp_path / "out") == {"a.flac.txt", "a.wav.txt", "b.txt"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "there is nothing to transcribe"),
        (("missing.wav",), "missing.wav: there is no such file or folder"),
        (("missing*.wav",), "missing*.wav: nothing matches"),
        (("{in}",), "3 recordings in 1 formats need an --output-dir"),
        (("{in}/a.wav", "--format", "srt,vtt"), "1 recordings in 2 formats need an --output-dir"),
        (("{in}/a.wav", "--format", "docx"), "there is no format docx; choose from json, text"),
        (("{in}/a.wav", "--jobs", "0"), "--jobs must be at least 1"),
        (("--url", "file:///etc/passwd"), "only http:// and https:// addresses are downloaded"),
        (("{in}/a.wav", "{in}/deep/../deep/c.wav", "{in}/a.wav"), "2 recordings in 1 formats need"),
        (("{in}/a.wav", "--keywords", "x" * 101), "may have at most 100 characters"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_loaded(
    recordings: Path, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(one.replace("{in}", str(recordings)) for one in arguments), recognizer="never_loaded") == 2
    assert told in capsys.readouterr().err


def test_a_model_that_cannot_be_had_is_told(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(recordings / "a.wav"), recognizer="nobody") == 1
    assert "cannot be imported" in capsys.readouterr().err

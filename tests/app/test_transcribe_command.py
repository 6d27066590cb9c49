"""`parakeet-stt transcribe` in this process, with a recogniser that says what it is told to."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import pytest
import structlog
from threadpoolctl import threadpool_info, threadpool_limits

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
    (folder / "empty").mkdir()
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


def test_beside_a_model_of_our_own_numpy_multiplies_on_one_thread(recordings: Path) -> None:
    with threadpool_limits(2, user_api="blas"):  # and leaves the tests as it found them
        assert run(str(recordings / "a.wav")) == 0
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As a terminal starts a program; a shell's background job, and all it starts, ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_whole_files_alone_and_the_next_run_goes_on(recordings: Path, tmp_path: Path) -> None:
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    arguments = (str(recordings), "--output-dir", str(out), "--jobs", "1", "--summary", str(summary))
    assert run(*arguments, recognizer="interrupting") == 130
    assert {"a.txt"} <= written(out) <= {"a.txt", "b.txt"}
    assert {path.read_text() for path in out.rglob("*.*")} == {f"{TEXT}\n"}
    told = msgspec.json.decode(summary.read_bytes())
    assert told["files"][-1]["status"] == "interrupted"
    assert told["done"] == len(written(out))
    assert run(*arguments) == 0
    assert written(out) == {"a.txt", "b.txt", "deep/c.txt"}


def test_one_recording_goes_to_standard_output(recordings: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(str(recordings / "a.wav"), "--format", "verbose_json", "--words") == 0
    told = msgspec.json.decode(capfdbinary.readouterr().out)
    assert [word["word"] for word in told["words"]] == ["Nobody", "else", "may", "read", "this"]
    assert told["duration"] == 1.0


def test_a_summary_goes_into_what_is_no_file_and_does_not_replace_it(
    recordings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (link := tmp_path / "link").symlink_to(tmp_path / "real")
    assert run(str(recordings / "a.wav"), "--summary", str(link)) == 0
    assert link.is_symlink()
    assert msgspec.json.decode((tmp_path / "real").read_bytes())["done"] == 1
    capfd.readouterr()
    assert run(str(recordings / "a.wav"), "--summary", "/dev/fd/1") == 0
    text, told = capfd.readouterr().out.split("\n", 1)
    assert (text, msgspec.json.decode(told)["done"]) == (TEXT, 1)
    (folder := tmp_path / "folder").mkdir()
    assert run(str(recordings / "a.wav"), "--summary", str(folder)) == 1


def test_a_pipe_that_has_a_name_is_heard_and_is_always_new(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for _ in range(2):
        (writer := threading.Thread(target=pipe.write_bytes, args=(wav(),))).start()
        assert run(str(pipe), "--output-dir", str(tmp_path / "out")) == 0
        writer.join()
        assert (tmp_path / "out" / "pipe.txt").read_text() == f"{TEXT}\n"
        (tmp_path / "out" / "pipe.txt").write_text("of before")


def test_a_name_that_is_no_text_is_told_all_the_same(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in ((b"caf\xe9.wav", wav()), (b"fa\xefence.wav", b"nothing")):
        Path(os.fsdecode(os.fsencode(recordings / "deep") + b"/" + name)).write_bytes(content)
    summary = tmp_path / "summary.json"
    assert run(str(recordings / "deep"), "--output-dir", str(tmp_path / "out"), "--summary", str(summary)) == 1
    assert "fa\\xefence.wav: nothing in the file can be decoded" in capsys.readouterr().err
    told = [Path(file["source"]).name for file in msgspec.json.decode(summary.read_bytes())["files"]]
    assert told == ["c.wav", "caf\\xe9.wav", "fa\\xefence.wav"]
    assert set(os.listdir(os.fsencode(tmp_path / "out"))) == {b"c.txt", b"caf\xe9.txt"}


def test_keywords_reach_the_recogniser_and_a_pattern_chooses_in_folders(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = FakeRecognizer(TEXT)
    monkeypatch.setattr(sys.modules[__name__], "fake", lambda _settings: recognizer)
    arguments = ("--glob", "n*.md", "--keywords", "Ada, Grace Hopper", "--output-dir", str(tmp_path / "out"))
    assert run(str(recordings), *arguments) == 0
    assert written(tmp_path / "out") == {"notes.txt"}
    assert [options.keywords for options in recognizer.asked] == [("Ada", "Grace Hopper")]


def test_a_terminal_sees_files_audio_speed_and_the_remaining_time(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    seen = bytearray()

    def look() -> None:
        with suppress(OSError):  # the terminal is closed
            while piece := os.read(master, 4_096):
                seen.extend(piece)

    (looking := threading.Thread(target=look)).start()
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setenv("COLUMNS", "100")
        patch.setenv("TERM", "xterm")
        assert run(str(recordings), "--output-dir", str(tmp_path / "out")) == 0
    looking.join()
    os.close(master)
    assert re.search(r"transcribing.*3/3 files, 0:03 of audio, \d+\.\d x.*0:00:00", seen.decode())
    assert seen.decode().endswith(" times real time\r\n")


def test_names_that_differ_in_their_ending_stay_apart(recordings: Path, tmp_path: Path) -> None:
    (recordings / "a.flac").write_bytes(wav())
    assert run(str(recordings / "*.*a*"), str(recordings / "a.wav"), "--output-dir", str(tmp_path / "out")) == 0
    assert written(tmp_path / "out") == {"a.flac.txt", "a.wav.txt", "b.txt"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "there is nothing to transcribe: name files, folders, `-` or --url"),
        (("{in}", "--glob", "*.mp3"), "/in is called *.mp3"),
        (("{in}/empty",), "/empty has the ending of a recording"),
        (("missing.wav",), "missing.wav: there is no such file or folder"),
        (("missing*.wav",), "missing*.wav: nothing matches"),
        (("{in}",), "3 recordings in 1 formats need an --output-dir"),
        (("{in}/a.wav", "--format", "srt,vtt"), "1 recordings in 2 formats need an --output-dir"),
        (("{in}/a.wav", "--format", "docx"), "there is no format docx; choose from json, text"),
        (("{in}/a.wav", "--jobs", "0"), "--jobs must be at least 1"),
        (("{in}/a.wav", "--format", "json,srt", "--words"), "--words adds to verbose_json alone"),
        (("{in}/a.wav", "--output-dir", "{in}/a.wav/out"), "/a.wav/out: nothing can be written there: Not a directory"),
        (("{in}/a.wav", "--summary", "{in}/a.wav/summary.json"), "/a.wav: nothing can be written there: File exists"),
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

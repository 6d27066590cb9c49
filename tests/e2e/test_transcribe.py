"""`parakeet-stt transcribe` as its user has it: real speech, the bundled model, pipes, and a running service."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from bench.service import other_variables
from tests.recordings import MOST_ERRORS, recordings, word_error_rate
from tests.service import CONSOLE_SCRIPT, Service

DATA: Final = Path(__file__).parents[1] / "data"


def transcribe(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [str(CONSOLE_SCRIPT), "transcribe", *arguments]
    environment = {**other_variables(), "STT_MODEL": "bundled"}
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=300, check=False)


@pytest.fixture
def files_over_http() -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=DATA)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_folder_is_heard_although_one_file_is_broken(tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    for recording in recordings():
        (folder / f"{recording.name}.flac").symlink_to(DATA / f"{recording.name}.flac")
    (folder / "broken.wav").write_bytes(b"RIFF and nothing else")
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    arguments = (str(folder), "--format", "text,vtt", "--output-dir", str(out), "--summary", str(summary))
    ended = transcribe(*arguments)
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert b"failed: " in ended.stderr
    assert b"broken.wav: nothing in the file can be decoded" in ended.stderr
    assert b"Traceback" not in ended.stderr
    said, heard = (
        " ".join(texts) for texts in zip(*((r.text, (out / f"{r.name}.txt").read_text()) for r in recordings()), strict=True)
    )
    assert word_error_rate(said, heard) <= MOST_ERRORS
    told = json.loads(summary.read_text())
    assert (told["done"], told["failed"], told["model"]) == (len(recordings()), 1, "parakeet-tdt-demo")
    assert told["audio_s"] == pytest.approx(sum(r.duration_s for r in recordings()), abs=0.1)
    (folder / "broken.wav").unlink()
    again = transcribe(*arguments)
    assert again.returncode == 0, "nothing is left to do"
    assert json.loads(summary.read_text())["skipped"] == len(recordings())


def test_a_running_service_hears_what_comes_through_a_pipe_and_from_an_address(service: Service, files_over_http: str) -> None:
    piped = transcribe("-", "--server", service.url, stdin=(DATA / "01.flac").read_bytes())
    assert (piped.returncode, piped.stderr) == (0, b"1 done\n"), "the length is told in JSON alone"
    loaded = transcribe("--url", f"{files_over_http}/01.flac", "--server", service.url, "--format", "json")
    assert json.loads(loaded.stdout)["text"] == piped.stdout.decode().rstrip("\n")
    assert b"1 done; 0:03 of audio in 0:0" in loaded.stderr
    large = transcribe("--url", f"{files_over_http}/no-such.flac", "--server", service.url)
    assert large.returncode == 1
    assert b"the download failed: status 404 File not found\n1 failed\n" in large.stderr
    refused = transcribe("-", "--server", service.url, "--max-upload-mb", "1", stdin=bytes(1_000_001))
    assert refused.returncode == 1
    assert b"larger than the limit of 1 MB" in refused.stderr

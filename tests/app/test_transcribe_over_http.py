"""`parakeet-stt transcribe --server`, and a service that answers what it is told to."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

import pytest
import structlog

from app.entrypoints.cli.hearing import _wait_s
from app.entrypoints.cli.main import main
from tests.app.service import wav


class Reply(NamedTuple):
    status: int
    body: Any
    retry_after: str | None = None


MODELS: Final = Reply(200, {"data": [{"id": "some/model"}]})
HEARD: Final = Reply(200, {"text": "Nobody else may read this."})


@contextmanager
def replying(*replies: Reply) -> Iterator[tuple[str, list[str]]]:
    """A service that gives these answers, one after the other; its address, and what it was asked."""
    left, asked = iter(replies), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # a name of the library
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fields = re.findall(rb'name="([^"]+)"\r\n\r\n(.*?)\r\n', body)
            asked.append(" ".join([self.path, *sorted(f"{name.decode()}={value.decode()}" for name, value in fields)]))
            reply = next(left)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("content-length", str(len(body)))
            if reply.retry_after is not None:
                self.send_header("retry-after", reply.retry_after)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def file(tmp_path: Path) -> str:
    (path := tmp_path / "said.wav").write_bytes(wav())
    return str(path)


def transcribe(*arguments: str) -> int:
    return main(["transcribe", *arguments])


@pytest.mark.parametrize("retry_after", ["0", format_datetime(datetime(1994, 11, 6, tzinfo=UTC), usegmt=True)])
def test_a_service_that_is_full_or_loading_is_asked_again(file: str, retry_after: str, capsys: pytest.CaptureFixture[str]) -> None:
    full = Reply(503, {"error": {"message": "full"}}, retry_after)
    with replying(full, MODELS, full, HEARD) as (url, asked):
        assert transcribe(file, "--server", url, "--format", "json") == 0
    assert asked == ["/v1/models"] * 2 + ["/v1/audio/transcriptions response_format=json"] * 2
    assert json.loads(capsys.readouterr().out) == HEARD.body


def test_what_is_wanted_is_asked_for_once_for_each_format(file: str, tmp_path: Path) -> None:
    with replying(MODELS, Reply(200, b"1\n"), HEARD) as (url, asked):
        wanted = ("--format", "srt,verbose_json", "--words", "--keywords", "Ada,Bob", "--output-dir", str(tmp_path))
        assert transcribe(file, "--server", f"{url}/v1/", *wanted) == 0
    keywords = "/v1/audio/transcriptions keywords[]=Ada keywords[]=Bob response_format"
    words = "timestamp_granularities[]=segment timestamp_granularities[]=word"
    assert asked == ["/v1/models", f"{keywords}=srt", f"{keywords}=verbose_json {words}"]
    assert {path.name for path in tmp_path.iterdir()} == {"said.wav", "said.srt", "said.verbose.json"}


def test_how_long_to_wait_is_read_in_seconds_or_as_a_date_and_has_bounds() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert 50 < _wait_s(in_a_minute) <= 60
    assert 50 < _wait_s(in_a_minute.replace("GMT", "-0000")) <= 60
    told = {"7": 7.0, "0": 0.25, "9" * 400: 300.0, "": 1.0, "soon": 1.0, "-3": 1.0, "Sun, 06 Nov 1994 08:49:37 GMT": 0.25}
    assert {text: _wait_s(text) for text in told} == told


@pytest.mark.parametrize("body", [HEARD.body, {"text": "", "usage": {"type": "tokens"}}, b"<p>not JSON"])
def test_an_answer_that_tells_no_length_is_still_written(file: str, tmp_path: Path, body: Any) -> None:
    with replying(MODELS, Reply(200, body)) as (url, _):
        summary = tmp_path / "summary.json"
        assert transcribe(file, "--server", url, "--format", "json", "--output-dir", str(tmp_path), "--summary", str(summary)) == 0
    written = (tmp_path / "said.json").read_bytes()
    assert written == (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n"
    told = json.loads(summary.read_bytes())
    assert (told["model"], told["audio_s"], told["files"][0]["status"]) == ("some/model", 0.0, "done")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(401, {"error": {"message": "no such key"}}), "no such key"),
        (Reply(502, b"<p>Bad Gateway"), "the service answered with status 502"),
        (Reply(200, {"data": []}), "that is no speech-to-text service"),
    ],
)
def test_what_keeps_every_recording_from_being_heard_is_told_once(
    file: str, reply: Reply, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with replying(reply) as (url, asked):
        assert transcribe(file, "--server", url) == 1
    assert asked == ["/v1/models"]
    assert capsys.readouterr().err.startswith(f"parakeet-stt: {told}")


def test_a_recording_that_is_refused_is_told_and_the_others_go_on(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(wav())
    refused = Reply(400, {"error": {"message": "nothing in the file can be decoded"}})
    with replying(MODELS, refused, Reply(200, b"Hello.\n")) as (url, _):
        assert transcribe(str(tmp_path / "a.wav"), file, "--server", url, "--jobs", "1", "--output-dir", str(tmp_path)) == 1
    assert (tmp_path / "said.txt").read_text() == "Hello.\n"
    assert "a.wav: nothing in the file can be decoded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://host", "http://", "http://[", "http://host:port", "http://host:99999"]
)
@pytest.mark.parametrize("command", ["transcribe", "listen"])
def test_what_is_no_address_of_a_service_is_told(command: str, address: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, file, "--server", address]) == 2
    assert capsys.readouterr().err == f"parakeet-stt: --server {address}: a service has an address like http://127.0.0.1:8000\n"

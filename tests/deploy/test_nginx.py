"""The service behind nginx as `deploy/nginx/parakeet-stt.conf` sets it up: uploads, refusals, events, live sessions."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.sync.client import connect

from bench.service import free_port
from tests.service import running_service

pytestmark = pytest.mark.deploy

ROOT: Final = Path(__file__).parents[2]
SAMPLE: Final = ROOT / "app/samples/hello.wav"
TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
PATIENCE_S: Final = 10.0
_MAIN: Final = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {site};
}}
"""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an nginx in front of a service that takes uploads of 1 MB."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    with running_service(settings={"STT_MAX_UPLOAD_MB": "1"}) as service:
        service.wait_until_ready()
        site = (ROOT / "deploy/nginx/parakeet-stt.conf").read_text()
        site = site.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
            "127.0.0.1:8000", service.url.removeprefix("http://")
        )
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, site=folder / "site.conf"))
        nginx = subprocess.Popen(["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"])
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}/healthz", nginx)
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()
            nginx.wait(PATIENCE_S)


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx did not come up")


def test_a_file_is_transcribed(proxied: str) -> None:
    answer = httpx.post(proxied + TRANSCRIPTIONS, files={"file": SAMPLE.read_bytes()}, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["text"]


def test_the_service_itself_says_that_an_upload_is_too_large(proxied: str) -> None:
    answer = httpx.post(proxied + TRANSCRIPTIONS, files={"file": bytes(3_000_000)}, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "file_too_large"


def test_events_leave_one_by_one(proxied: str) -> None:
    asked = {"stream": "true", "chunking_strategy": '{"type": "server_vad"}'}
    with httpx.stream("POST", proxied + TRANSCRIPTIONS, files={"file": SAMPLE.read_bytes()}, data=asked, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1].startswith('data: {"type":"transcript.text.done"')


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime?intent=transcription"])
def test_a_live_session_is_opened_and_spoken_to(proxied: str, path: str) -> None:
    with connect(proxied.replace("http", "ws", 1) + path) as socket:
        if path == "/ws":
            socket.send(SAMPLE.read_bytes()[44:])
            socket.send('{"type": "finish"}')
            told = list(socket)
            assert told[0] == '{"status":"queued"}'
            assert told[-1] == '{"status":"finished"}'
        else:
            assert '"session.created"' in str(socket.recv(PATIENCE_S))


@pytest.mark.parametrize("path", ["/metrics", "/debug/cfg"])
def test_what_is_for_operators_stays_inside(proxied: str, path: str) -> None:
    assert httpx.get(proxied + path).status_code == 403

"""Where model files come from. The hub here is a server on this machine; nothing reaches a network."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app.adapters.nemo.source import PINS, PRODUCTION, locate
from app.domain.errors import ModelUnavailableError

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MODEL = f"acme/tiny@{REVISION}#{SHA256}"
PATH = f"/acme/tiny/resolve/{REVISION}/tiny.nemo"


class Hub(ThreadingHTTPServer):
    """As much of the hub as one file needs; `breaks_after` cuts the first transfer after so many bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.breaks_after: int | None = None
        self.ranges: list[str | None] = []
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server
        hub.asked.append(f"{self.command} {self.path}")
        if self.path != PATH:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        if with_body:
            hub.ranges.append(wanted := self.headers.get("Range"))
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{SHA256}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        if not with_body:
            return
        if hub.breaks_after is not None:
            body, hub.breaks_after, self.close_connection = body[: hub.breaks_after], None, True
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between the tests and this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(direct: None) -> Iterator[Hub]:  # noqa: ARG001  # needed before, has no value
    with Hub() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the waits between the hub library's own retries out: 24 s in all."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)


def test_a_download_is_checked_and_reported(hub: Hub, tmp_path: Path) -> None:
    heard: list[str] = []
    found = locate(MODEL, endpoint=hub.address, cache_dir=tmp_path, on_progress=lambda event, **_: heard.append(event))
    assert found.path.read_bytes() == CONTENT
    assert (found.model_id, found.demonstration) == ("acme/tiny", False)
    assert heard == ["model_download_started", "model_download_finished"]


def test_the_second_time_the_cache_answers_and_no_network_is_touched(hub: Hub, tmp_path: Path) -> None:
    first = locate(MODEL, endpoint=hub.address, cache_dir=tmp_path)
    asked = len(hub.asked)
    heard: list[str] = []
    again = locate(MODEL, endpoint="http://127.0.0.1:9", cache_dir=tmp_path, on_progress=lambda event, **_: heard.append(event))
    assert again == first
    assert (heard, len(hub.asked)) == (["model_found_in_cache"], asked)


@pytest.mark.usefixtures("patience")
def test_a_broken_transfer_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 2**14)  # of the 10 MiB it takes at a time by default
    hub.breaks_after = 100_000
    assert locate(MODEL, endpoint=hub.address, cache_dir=tmp_path).path.read_bytes() == CONTENT
    first, second = hub.ranges
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 100_000


def test_a_wrong_file_is_named_by_both_hashes(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError) as failure:
        locate(f"acme/tiny@{REVISION}#{'0' * 64}", endpoint=hub.address, cache_dir=tmp_path)
    assert "0" * 64 in str(failure.value)
    assert SHA256 in str(failure.value)


def test_a_cached_file_that_was_changed_is_refused(hub: Hub, tmp_path: Path) -> None:
    path = locate(MODEL, endpoint=hub.address, cache_dir=tmp_path).path
    path.resolve().write_bytes(b"something else")
    with pytest.raises(ModelUnavailableError, match="SHA-256"):
        locate(MODEL, endpoint=hub.address, cache_dir=tmp_path)


def test_a_model_the_hub_does_not_have_says_so(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="not on the hub") as failure:
        locate(f"acme/other@{REVISION}#{SHA256}", endpoint=hub.address, cache_dir=tmp_path)
    assert "STT_MODEL=bundled" in str(failure.value)


@pytest.mark.usefixtures("direct", "patience")
def test_without_a_network_the_error_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError) as failure:
        locate(MODEL, endpoint="http://127.0.0.1:9", cache_dir=tmp_path)
    for name in ("STT_MODEL=bundled", "HF_ENDPOINT", "HF_HOME", ".nemo"):
        assert name in str(failure.value)


def test_offline_without_a_cached_file_names_the_switch(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match="HF_HUB_OFFLINE"):
        locate(MODEL, endpoint=hub.address, cache_dir=tmp_path)
    assert hub.asked == []


def test_offline_a_cached_file_is_enough(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = locate(MODEL, endpoint=hub.address, cache_dir=tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert locate(MODEL, endpoint=hub.address, cache_dir=tmp_path) == first


def test_a_hub_model_without_its_hash_is_refused_and_the_form_shown() -> None:
    with pytest.raises(ModelUnavailableError, match=r"acme/tiny@<revision>#<sha256 of tiny\.nemo>"):
        locate("acme/tiny")


def test_the_production_model_is_pinned() -> None:
    assert PINS[PRODUCTION].file_name == "parakeet-tdt-0.6b-v2.nemo"
    assert len(PINS[PRODUCTION].revision) == 40
    assert len(PINS[PRODUCTION].sha256) == 64


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.nemo"
    path.write_bytes(b"any")
    assert (locate(str(path)).path, locate(str(path)).model_id) == (path, "mine")


@pytest.mark.parametrize("model", ["./missing.nemo", "/nowhere/missing.nemo", "models/missing.nemo", "missing"])
def test_a_path_that_is_not_there_says_so(model: str) -> None:
    with pytest.raises(ModelUnavailableError, match="no model file"):
        locate(model)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"any")
    with pytest.raises(ModelUnavailableError, match=r"not a \.nemo file"):
        locate(str(path))


def test_the_bundled_model_is_a_demonstration() -> None:
    found = locate("bundled")
    assert (found.model_id, found.demonstration) == ("parakeet-tdt-demo", True)
    assert found.path.stat().st_size > 1_000_000

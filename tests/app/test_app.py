"""The whole application in this process, with fakes behind its ports: every outcome, its envelope, its log, and what it leaves."""

import asyncio
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any, BinaryIO, Final

import httpx
import numpy as np
import pytest
import structlog
from litestar.testing import TestClient
from structlog.testing import capture_logs

from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.errors import DeviceFailedError, ModelUnavailableError
from app.domain.ports import Block, DecodeLimits, Options, Recognizer, Resampler
from app.entrypoints.app import create_app
from app.entrypoints.logs import configure_logs
from app.settings import Settings
from app.testing.contracts_audio import wav_bytes
from app.testing.fakes import FakeNormalizer
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .service import PATIENCE_S, TEXT, TRANSCRIPTIONS, Client, check_envelope, left_in, make_container, send, serving, tone, wav

ENDPOINTS: Final = (TRANSCRIPTIONS, "/audio/transcriptions", "/transcribe")


class CrashingNormalizer:
    """Fails as no port allows, with a user's words at hand."""

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        _words = TEXT
        raise OSError("the secret cause in /srv/private")

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        raise NotImplementedError


class TruncatingNormalizer(FakeNormalizer):
    """Says of every file that it broke off."""

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        for block in super().blocks(file, limits=limits):
            yield Block(block.samples, truncated=True)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own for temporary files; none may be left in it, nor open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert left_in(tmp_path) == []


@contextmanager
def loading() -> Iterator[Client]:
    """The application while its model still loads."""
    may_load = threading.Event()

    def load() -> Recognizer:
        assert may_load.wait(PATIENCE_S)
        return FakeRecognizer(TEXT)

    with TestClient(create_app(make_container(Settings(), load))) as client:
        try:
            yield client
        finally:
            may_load.set()


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_file_is_transcribed(path: str) -> None:
    with serving() as (client, _):
        answer = send(client, path=path)
    assert answer.status_code == 200
    assert answer.json()["text"] == TEXT


def test_many_clients_at_a_time_get_their_own_text() -> None:
    with serving(recognizer=FakeRecognizer(lambda clip: f"n{clip.samples.size}")) as (client, _):
        found: dict[int, str] = {}

        def ask(i: int) -> None:
            found[16_000 + i] = send(client, wav(1 + i / MODEL_RATE_HZ)).json()["text"]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert found == {16_000 + i: f"n{16_000 + i}" for i in range(16)}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_upload_over_the_limit_is_413(path: str) -> None:
    with serving(Settings(max_upload_mb=1)) as (client, _):
        assert "1 MB" in check_envelope(send(client, bytes(1_000_001), path=path), 413, code="file_too_large", param="file")
        assert send(client, wav(30), path=path).status_code == 200  # 960 kB


def test_audio_over_the_limit_is_refused() -> None:
    with serving(Settings(max_audio_s=2)) as (client, _):
        assert "2 s" in check_envelope(send(client, wav(2.5)), 400, code="audio_too_long", param="file")
        assert send(client, wav(2)).status_code == 200


@pytest.mark.parametrize(("data", "code"), [(wav(0.05), "audio_too_short"), (b"no audio", "invalid_value"), (b"", "invalid_value")])
def test_audio_that_cannot_be_used_is_400(data: bytes, code: str) -> None:
    with serving() as (client, _):
        check_envelope(send(client, data), 400, code=code, param="file")


def test_a_form_without_a_file_is_400() -> None:
    with serving() as (client, _):
        answer = client.post(ENDPOINTS[0], files={"model": (None, "whisper-1")})
        check_envelope(answer, 400, code="invalid_value", param="file")


def test_silence_is_an_empty_text() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _):
        answer = send(client, wav_bytes(np.zeros(MODEL_RATE_HZ, np.float32), rate_hz=MODEL_RATE_HZ))
    assert answer.json() == {"text": "", "usage": {"type": "duration", "seconds": 1.0}}
    assert recognizer.heard == []


def test_a_full_queue_is_503_and_says_when_to_come_again() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(max_waiting_s=1), recognizer=gated) as (client, container):
        engine = container.engine()
        answers = [engine.submit(Clip(tone(1)), Options())]
        assert gated.entered.wait(PATIENCE_S)
        answers.append(engine.submit(Clip(tone(1)), Options()))
        refused = send(client)
        gated.let_go.set()
        assert [answer.result(PATIENCE_S).text for answer in answers] == [TEXT, TEXT]
        assert send(client).status_code == 200
    check_envelope(refused, 503, kind="server_error", code="overloaded")
    assert int(refused.headers["retry-after"]) >= 1


def test_while_the_model_loads_only_the_health_check_is_answered() -> None:
    with loading() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        refused = [client.get(path) for path in ("/readyz", "/v1/models", "/v1/models/fake", "/debug/cfg")]
        refused += [send(client, path=path) for path in ENDPOINTS]
    for answer in refused:
        check_envelope(answer, 503, kind="server_error", code="not_ready")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_model_that_does_not_load_is_told_and_the_process_calls_itself_neither_ready_nor_well() -> None:
    def load() -> Recognizer:
        raise ModelUnavailableError("no model there; set STT_MODEL")

    failures: SimpleQueue[BaseException] = SimpleQueue()
    with TestClient(create_app(make_container(Settings(), load), on_model_failed=failures.put)) as client:
        assert "STT_MODEL" in str(failures.get(timeout=PATIENCE_S))
        assert failures.empty()
        for answer in (client.get("/healthz"), client.get("/readyz"), send(client)):
            check_envelope(answer, 503, kind="server_error", code="not_ready")


def test_going_down_while_the_model_loads_is_no_failure() -> None:
    failures: list[BaseException] = []
    with TestClient(create_app(make_container(Settings(), FakeRecognizer), on_model_failed=failures.append)):
        pass
    assert failures == []


@pytest.mark.parametrize("path", ENDPOINTS)
def test_what_nobody_foresaw_is_a_500_that_keeps_its_cause(path: str) -> None:
    with serving(normalizer=CrashingNormalizer()) as (client, _), capture_logs() as logs:
        answer = send(client, path=path)
    check_envelope(answer, 500, kind="server_error", code="internal_error")
    assert not re.search("secret|private|OSError|Traceback", answer.text)
    (failed,) = [event for event in logs if event["event"] == "request_failed"]
    assert "secret cause" in str(failed["exc_info"])  # the log has it


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_log_tells_the_cause_of_a_failure_and_no_values(log_format: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format=log_format)
    configure_logs(settings)
    try:
        with serving(settings, normalizer=CrashingNormalizer()) as (client, _):
            send(client, prompt="private prompt")
    finally:
        structlog.reset_defaults()
    log = capsys.readouterr().err
    assert "secret cause" in log
    assert "request_finished" in log
    assert TEXT not in log
    assert "private prompt" not in log


def test_a_recogniser_that_fails_is_a_500_that_keeps_its_cause() -> None:
    with serving(recognizer=FakeRecognizer(fails_on=lambda _clip: True)) as (client, _):
        answer = send(client)
    check_envelope(answer, 500, kind="server_error", code="internal_error")
    assert "fake" not in answer.text


def test_the_model_answers_to_its_own_name_and_to_the_aliases_that_were_set() -> None:
    with serving(Settings(model_aliases=("ours", "org/ours"))) as (client, _):
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["fake", "ours", "org/ours"]
        assert all(send(client, model=name).status_code == 200 for name in ("fake", "ours", "org/ours", ""))
        told = check_envelope(send(client, model="whisper-1"), 404, code="model_not_found", param="model")
        assert client.get("/v1/models/org%2Fours").json()["id"] == "org/ours"
        check_envelope(client.get("/v1/models/whisper-1"), 404, code="model_not_found", param="model")
    assert "ours" in told


def outcomes() -> dict[str, tuple[int, Callable[[Client], httpx.Response]]]:
    """Every way a request ends while the service is up."""
    return {
        "transcribed": (200, send),
        "as text": (200, lambda client: send(client, response_format="text")),
        "with times": (200, lambda client: send(client, path="/transcribe", include_timestamps="true")),
        "in windows": (200, lambda client: send(client, wav(20))),
        "undecodable": (400, lambda client: send(client, b"no audio")),
        "wrong field": (400, lambda client: send(client, response_format="xml")),
        "two files": (400, lambda client: client.post(ENDPOINTS[0], files=[("file", ("a", wav())), ("file", ("b", wav()))])),
        "no form": (400, lambda client: client.post(ENDPOINTS[0], json={})),
        "unknown model": (404, lambda client: send(client, model="other")),
        "unknown path": (404, lambda client: client.get("/nothing/here")),
        "wrong method": (405, lambda client: client.get(ENDPOINTS[0])),
        "too large": (413, lambda client: send(client, bytes(1_500_000))),
        "poisonous": (500, lambda client: send(client, wav(13))),
    }


@pytest.mark.parametrize("outcome", outcomes())
def test_every_outcome_leaves_no_file_has_an_id_and_one_event(outcome: str, temporary_folder: Path) -> None:
    status, ask = outcomes()[outcome]
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.duration_s == 13)
    with serving(Settings(max_upload_mb=1, single_pass_s=15, window_s=5), recognizer=recognizer) as (client, _):
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            answer = ask(client)
        assert left_in(temporary_folder) == []
    assert answer.status_code == status
    (finished,) = [event for event in logs if event["event"] == "request_finished"]
    assert finished["status"] == status
    assert finished["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", finished["request_id"])
    assert finished["path"] == answer.request.url.path
    assert finished["elapsed_ms"] >= 0
    assert ("error" in finished) is (status != 200)
    for word in TEXT.split():
        assert word not in str(logs)


def test_the_finishing_event_tells_the_length_and_whether_the_file_broke_off() -> None:
    with (
        serving(normalizer=TruncatingNormalizer()) as (client, _),
        capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs,
    ):
        assert send(client, wav(1.5)).json()["text"] == TEXT
        client.get("/v1/models")
    first, second = [event for event in logs if event["event"] == "request_finished"]
    assert (first["audio_s"], first["truncated"]) == (1.5, True)
    assert "audio_s" not in second  # nothing of one request clings to the next


@pytest.mark.parametrize(("offered", "kept"), [("mine-1.a:b_c", True), ("a b<c>", False), ("x" * 129, False), ("", False)])
def test_a_usable_request_id_is_kept_and_another_replaced(offered: str, kept: bool) -> None:
    with serving() as (client, _):
        for answer in (
            client.get("/healthz", headers={"x-request-id": offered}),
            send(client, headers={"x-request-id": offered}),
            send(client, b"no audio", headers={"x-request-id": offered}),
            client.get("/nothing", headers={"x-request-id": offered}),
        ):
            assert (answer.headers["x-request-id"] == offered) is kept


def test_no_two_requests_share_an_id() -> None:
    with serving() as (client, _):
        assert len({client.get("/healthz").headers["x-request-id"] for _ in range(20)}) == 20


def test_a_health_check_is_no_event_an_operator_must_read() -> None:
    with serving() as (client, _), capture_logs() as logs:
        client.get("/healthz")
        client.get("/readyz")
    assert [event["log_level"] for event in logs if event["event"] == "request_finished"] == ["debug", "debug"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (TRANSCRIPTIONS, {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "char"]}),
        (TRANSCRIPTIONS, {"stream": "true", "include[]": "srt"}),
        ("/transcribe", {"include_timestamps": "true"}),
    ],
    ids=["at once", "as events", "the old way"],
)
def test_what_takes_long_to_write_keeps_nobody_waiting(path: str, fields: dict[str, Any]) -> None:
    speech = "So many words as somebody says in an hour. " * 1_000
    turns_s: list[float] = []  # when the loop turned; written on the loop
    finished: list[Any] = []

    async def turn() -> None:
        while not finished:
            finished.extend(event for event in logs if event["event"] == "request_finished" and event["path"] == path)
            turns_s.append(monotonic())
            await asyncio.sleep(0)

    with serving(recognizer=FakeRecognizer(speech)) as (client, _), client.portal() as portal, capture_logs() as logs:
        turning = portal.start_task_soon(turn)
        assert send(client, path=path, **fields).status_code == 200
        turning.result(PATIENCE_S)
    rendered_from_s = turns_s[-1] - finished[0]["render_ms"] / 1000
    assert len([at_s for at_s in turns_s if at_s > rendered_from_s]) > 100  # a handful, were it written on the loop


def test_a_lost_model_is_told_by_readiness_and_liveness() -> None:
    with serving() as (client, container):
        assert client.get("/healthz").status_code == 200
        container.engine().give_up(DeviceFailedError("the device is lost"))
        for answer in (client.get("/healthz"), client.get("/readyz"), send(client)):
            check_envelope(answer, 503, kind="server_error", code="not_ready")


def test_a_batch_that_does_not_come_back_is_given_up_in_the_end() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(stuck_s=0.05), recognizer=gated) as (client, _), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(send, client)
        check_envelope(asked.result(PATIENCE_S), 503, kind="server_error", code="not_ready")
        assert client.get("/healthz").status_code == 503
        gated.let_go.set()

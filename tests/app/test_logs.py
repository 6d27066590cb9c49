"""The log: its form, what libraries say, and the one event that ends a request or a session."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest
import structlog
from structlog.testing import capture_logs

from app.domain.audio import Clip
from app.domain.ports import Options
from app.entrypoints.http.requests import outcome_of
from app.entrypoints.logs import GRANIAN_LOGS, configure_logs
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer
from app.testing.ruler import RulerRecognizer

from .live import cut, floats, spoken, talk, wait_until
from .service import PATIENCE_S, TEXT, Client, send, serving, tone, wav

STAGES: Final = ("receive_ms", "decode_ms", "queue_ms", "model_ms", "render_ms")


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """What `configure_logs` does to the process is undone."""
    root, granian = logging.getLogger(), [logging.getLogger(name) for name in ("_granian", "granian.access")]
    handlers, before = list(root.handlers), [(logger.propagate, list(logger.handlers), logger.level) for logger in granian]
    yield
    root.handlers = handlers
    for logger, (propagate, own, level) in zip(granian, before, strict=True):
        logger.propagate, logger.handlers = propagate, own
        logger.setLevel(level)
    structlog.reset_defaults()


def finished(client: Client, data: bytes, **fields: Any) -> dict[str, Any]:
    with capture_logs() as logs:
        send(client, data, **fields)
    (event,) = [event for event in logs if event["event"] == "request_finished"]
    return dict(event)


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize(("log_format", "is_json"), [("json", True), ("console", False), ("auto", True)])
def test_the_log_format_says_how_an_event_is_written(log_format: Any, is_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format=log_format))  # `auto`: what pytest captures is no terminal
    structlog.get_logger().info("something_happened", audio_s=1.5)
    (line,) = capsys.readouterr().err.splitlines()
    if is_json:
        told = json.loads(line)
        assert (told["event"], told["audio_s"], told["level"]) == ("something_happened", 1.5, "info")
        assert told["timestamp"].endswith("Z")
    else:
        assert not line.startswith("{")
        assert "something_happened" in line


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize("name", ["_granian", "asyncio", "some.library"])
def test_what_libraries_log_has_the_same_shape(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from granian.log import LogLevels, configure_logging

    configure_logs(Settings(log_format="json"))
    configure_logs(Settings(log_format="json"))  # again, as in the worker; each line is still written once
    configure_logging(LogLevels.warning, GRANIAN_LOGS)
    try:
        _secret = TEXT
        raise OSError("the cause")
    except OSError:
        logging.getLogger(name).exception("worker %d died", 3)
    logging.getLogger(name).info("for its authors")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["logger"]) == ("worker 3 died", "error", name)
    assert "the cause" in line
    assert TEXT not in line


def test_the_event_that_ends_a_request_tells_what_each_stage_took() -> None:
    with serving(Settings(single_pass_s=5, window_s=5), recognizer=FakeRecognizer(TEXT)) as (client, _):
        whole, cut_up = finished(client, wav(2)), finished(client, wav(12))
        streamed = finished(client, wav(12), stream="true")
    for event, n_clips in ((whole, 1), (cut_up, 3), (streamed, 3)):
        assert event["outcome"] == "ok"
        assert event["clips"] >= n_clips
        assert event["largest_batch"] >= 1
        for stage in STAGES:
            assert event[stage] >= 0, stage
    assert (whole["audio_s"], cut_up["audio_s"]) == (2.0, 12.0)
    assert sum(whole[stage] for stage in STAGES) <= whole["elapsed_ms"] + 1


def test_a_clip_tells_how_it_went_through_the_engine() -> None:
    with serving() as (_, container):
        answer = container.engine().submit(Clip(tone(1)), Options())
        answer.result(PATIENCE_S)
        now_s = container.engine().now_s()
    assert answer.ran is not None
    assert answer.ran.since_s <= answer.ran.began_s <= answer.ran.ended_s <= now_s
    assert answer.ran.n_clips == 1


def test_each_outcome_is_told_in_a_word() -> None:
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.duration_s == 3)
    with serving(Settings(max_upload_mb=1), recognizer=recognizer) as (client, _):
        told = [finished(client, data)["outcome"] for data in (wav(1), b"no audio", bytes(1_500_000), wav(3))]
    assert told == ["ok", "refused", "refused", "failed"]


@pytest.mark.parametrize(
    ("status", "facts", "outcome"),
    [
        (200, {}, "ok"), (200, {"truncated": False}, "ok"), (200, {"truncated": True}, "cut_off"), (404, {}, "refused"),
        (503, {"error": "overloaded"}, "refused"), (200, {"error": "overloaded"}, "refused"), (500, {}, "failed"),
        (200, {"error": "internal_error"}, "failed"), (0, {}, "failed"), (0, {"left": True}, "left"), (200, {"left": True}, "left"),
    ],
)  # fmt: skip
def test_an_outcome_follows_from_the_status_and_the_facts(status: int, facts: dict[str, object], outcome: str) -> None:
    assert outcome_of(status, facts) == outcome


def test_the_event_that_ends_a_session_tells_what_its_clips_took() -> None:
    samples, _ = spoken([[1, 2], [3]])
    with serving(recognizer=RulerRecognizer()) as (client, _), capture_logs() as logs:
        assert len(talk(client, cut(floats(samples), n_bytes=8_000), query="encoding=pcm_f32le").texts) == 2
        wait_until(lambda: any(event["event"] == "live_session_finished" for event in logs))
    (event,) = [event for event in logs if event["event"] == "live_session_finished"]
    assert event["outcome"] == "finished"
    assert event["clips"] >= 2
    assert event["largest_batch"] == 1
    assert event["queue_ms"] >= 0
    assert event["model_ms"] >= 0

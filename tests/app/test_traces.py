"""Spans, as OpenTelemetry's in-memory exporter gets them."""

import gzip
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar, Final

import pytest
from litestar.testing import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from app.entrypoints.app import create_app
from app.entrypoints.traces import check_traces, open_provider
from app.settings import Settings, SettingsError
from app.testing.recognizers import FakeRecognizer
from app.testing.ruler import RulerRecognizer

from .live import cut, floats, spoken, talk, wait_until
from .service import PATIENCE_S, TEXT, TRANSCRIPTIONS, Client, make_container, send, serving, wav

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = f"00-{TRACE_ID}-b7ad6b7169203331-01"
KEY: Final = "sk-hush"


@contextmanager
def traced(
    recognizer: FakeRecognizer | RulerRecognizer, settings: Settings | None = None
) -> Iterator[tuple[Client, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    container = make_container(settings or Settings(), lambda: recognizer)
    with TestClient(create_app(container, traces=provider)) as client:
        container.engine().loaded.result(PATIENCE_S)
        yield client, exporter


def spans_of(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, Sequence[ReadableSpan]]:
    """Return the one span that has no parent here, and its children."""
    spans = exporter.get_finished_spans()
    (root,) = [span for span in spans if span.kind is SpanKind.SERVER]
    return root, [span for span in spans if span is not root]


def test_a_request_has_a_span_with_one_for_each_stage() -> None:
    with traced(FakeRecognizer(TEXT), Settings(api_keys=(KEY,))) as (client, exporter):
        headers = {"authorization": f"Bearer {KEY}"}
        answer = send(client, wav(2), headers=headers, prompt="private prompt")
        client.get("/healthz")
        root, children = spans_of(exporter)
    assert root.name == f"POST {TRANSCRIPTIONS}"
    assert root.attributes is not None
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["stt.outcome"] == "ok"
    assert root.attributes["stt.audio_s"] == 2.0
    assert root.attributes["stt.request_id"] == answer.headers["x-request-id"]
    assert {span.name for span in children} == {"receive", "decode", "queue", "model", "render"}
    for span in children:
        assert span.parent is not None
        assert root.context is not None
        assert span.parent.span_id == root.context.span_id
        assert root.start_time is not None
        assert root.end_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        slack_ns = 2_000_000  # two clocks are read one after the other
        assert root.start_time - slack_ns <= span.start_time <= span.end_time <= root.end_time + slack_ns
    told = "".join(span.to_json() for span in (root, *children))
    for hidden in (TEXT, KEY, "private prompt"):
        assert hidden not in told


def test_the_caller_s_context_is_taken_and_ours_returned() -> None:
    with traced(FakeRecognizer(TEXT)) as (client, exporter), capture_logs() as logs:
        answer = send(client, headers={"traceparent": PARENT})
        root, _ = spans_of(exporter)
        (event,) = [event for event in logs if event["event"] == "request_finished"]
    assert root.parent is not None
    assert root.context is not None
    assert f"{root.context.trace_id:032x}" == TRACE_ID == event["trace_id"]
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    assert answer.headers["traceparent"] == f"00-{TRACE_ID}-{root.context.span_id:016x}-01"


@pytest.mark.parametrize("sent", ["", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_context_that_is_none_begins_a_trace(sent: str) -> None:
    with traced(FakeRecognizer(TEXT)) as (client, exporter):
        client.get("/v1/models/fake", headers={"traceparent": sent})
        root, children = spans_of(exporter)
    assert root.parent is None
    assert root.name == "GET /v1/models/{name}"
    assert children == []


def test_a_refusal_is_told_as_one() -> None:
    with traced(FakeRecognizer(TEXT), Settings(api_keys=(KEY,))) as (client, exporter):
        client.get("/nothing")
        root, _ = spans_of(exporter)
    assert root.attributes is not None
    assert (root.attributes["stt.outcome"], root.attributes["stt.error"]) == ("refused", "invalid_api_key")


def test_a_live_session_has_a_span_for_each_utterance() -> None:
    samples, _ = spoken([[1, 2], [3]])
    with traced(RulerRecognizer()) as (client, exporter):
        assert len(talk(client, cut(floats(samples), n_bytes=8_000), query="encoding=pcm_f32le").texts) == 2
        wait_until(lambda: any(span.kind is SpanKind.SERVER for span in exporter.get_finished_spans()))
        root, children = spans_of(exporter)
    assert root.name == "WEBSOCKET /ws"
    assert [span.name for span in children] == ["utterance", "utterance", "queue", "model"]
    assert {span.parent.span_id for span in children if span.parent} == {root.context.span_id if root.context else 0}


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert open_provider(Settings()) is None
    with serving() as (client, _):
        assert "traceparent" not in client.get("/v1/models", headers={"traceparent": PARENT}).headers


class Collector(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(gzip.decompress(sent) if self.headers["content-encoding"] == "gzip" else sent)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("named", ["", "another name"])
def test_traces_endpoint_turns_traces_on(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", named)
    Collector.bodies.clear()
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever).start()
        settings = Settings(traces_endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces")
        with serving(settings, recognizer=FakeRecognizer(TEXT)) as (client, _):
            assert send(client).headers["traceparent"]
        server.shutdown()
    told = b"".join(Collector.bodies)
    assert TRANSCRIPTIONS.encode() in told
    assert (named or "parakeet-stt").encode() in told


def test_without_the_extra_the_service_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    check_traces(Settings())
    with pytest.raises(SettingsError, match=r"parakeet-stt\[otel\]"):
        check_traces(Settings(traces_endpoint="http://127.0.0.1:9/v1/traces"))


def test_nothing_of_opentelemetry_is_imported_where_nobody_wants_traces() -> None:
    told = "import sys, app.entrypoints.app, app.entrypoints.cli.serve; print([n for n in sys.modules if 'opentelemetry' in n])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "[]\n"

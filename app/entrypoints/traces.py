"""OpenTelemetry: a span for each request and session, made of what is noted for the log anyway, and one for each of its parts.

Nothing here is imported from OpenTelemetry unless traces are wanted.
"""

from collections.abc import Callable
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ..domain.live_events import Event, Failed, Started
from ..domain.live_events import Final as FinalText
from ..settings import Settings, SettingsError
from .http.requests import QUIET_PATHS, Record, current_record, note, outcome_of
from .websocket.host import Watch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NAME: Final = "parakeet-stt"
_W3C: Final = frozenset({b"traceparent", b"tracestate"})
_OPENING: Final = frozenset({"http.response.start", "websocket.accept"})


def check_traces(settings: Settings) -> None:
    """Make sure that traces can be sent, if any are wanted.

    Raises:
        SettingsError: The extra `otel` is not installed.
    """
    if settings.traces_endpoint:
        try:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401  # needs all the rest
        except ImportError as missing:
            told = "traces_endpoint: traces need the extra `otel`: pip install 'parakeet-stt[otel]'"
            raise SettingsError(told) from missing


def open_provider(settings: Settings) -> "TracerProvider | None":
    """Return what sends spans by OTLP over HTTP, from a thread of its own; None where nobody wants any.

    OpenTelemetry's variables (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and others) hold too.
    """
    if not settings.traces_endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": NAME}).merge(OTELResourceDetector().detect())  # the variables are stronger
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_endpoint)))
    return provider


class TraceDoor(ASGIMiddleware):
    """Gives what comes in a span: a child of the caller's (`traceparent`), and told to it in the answer's headers."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer(NAME)
        self._w3c = TraceContextTextMapPropagator()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["path"] in QUIET_PATHS:
            await next_app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, StatusCode, use_span

        method, status = str(scope.get("method", "WEBSOCKET")), 0
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _W3C}
        span = self._tracer.start_span(method, context=self._w3c.extract(sent), kind=SpanKind.SERVER)
        trace_id = f"{span.get_span_context().trace_id:032x}"

        async def send_with_context(message: Message) -> None:
            nonlocal status
            if message["type"] in _OPENING:
                status = int(message.get("status", 101))  # type: ignore[call-overload]  # of HTTP alone
                returned: dict[str, str] = {}
                self._w3c.inject(returned)
                MutableScopeHeaders.from_message(message).update(returned)
                note(trace_id=trace_id)  # of a session nothing can be noted before
            await send(message)

        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            note(trace_id=trace_id)
            try:
                await next_app(scope, receive, send_with_context)
            finally:
                record, path = current_record() or Record(), str(scope.get("path_template") or "")
                told = _attributes(record, status)
                span.update_name(f"{method} {path}".rstrip())
                span.set_attributes({"http.request.method": method, "http.route": path, "http.response.status_code": status})
                span.set_attributes(told)
                if told["stt.outcome"] == "failed":
                    span.set_status(StatusCode.ERROR)
                self._make_stages(record)

    def _make_stages(self, record: Record) -> None:
        for name, stage in record.stages.items():
            child = self._tracer.start_span(name, start_time=_ns(stage.began_s), attributes={"stt.busy_s": stage.busy_s})
            child.end(_ns(stage.ended_s))


class _UtteranceSpans:
    """Watches a live session: a span from when a speaker was heard until the text is told."""

    def __init__(self, provider: "TracerProvider", other: Watch) -> None:
        """Hand on to `other` what is told."""
        self._tracer, self._other = provider.get_tracer(NAME), other
        self._began_s: dict[int, float] = {}  # by utterance

    def heard(self, heard_s: float, now_s: float) -> None:
        self._other.heard(heard_s, now_s)

    def told(self, event: Event, now_s: float) -> None:
        self._other.told(event, now_s)
        match event:
            case Started(utterance=utterance):
                self._began_s[utterance] = now_s
            case FinalText(utterance=utterance) | Failed(utterance=utterance):
                if (began_s := self._began_s.pop(utterance, None)) is not None:
                    self._tracer.start_span("utterance", start_time=_ns(began_s)).end(_ns(now_s))
            case _:
                pass


def with_spans(watch: Callable[[], Watch], provider: "TracerProvider") -> Callable[[], Watch]:
    """Return what watches sessions as `watch` does, and gives each utterance a span besides."""
    return lambda: _UtteranceSpans(provider, watch())


def _ns(at_s: float) -> int:
    """Turn a time of `monotonic` into one of spans."""
    return time_ns() + round(1e9 * (at_s - monotonic()))


def _attributes(record: Record, status: int) -> dict[str, Any]:
    facts = {f"stt.{name}": value for name, value in record.facts.items() if isinstance(value, str | int | float)}
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    return {"stt.outcome": outcome_of(status, record.facts), **facts, "stt.request_id": request_id}

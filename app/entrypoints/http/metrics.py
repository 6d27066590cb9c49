"""What the engine does and who listens live, in numbers for Prometheus."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ...domain.engine import Engine
from ...domain.pace import BatchReport
from ..websocket.host import LiveHost
from .openapi import answering_operation, error_responses

_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OF_BATCH: Final = ("priority",)
_TEXT: Final = "text/plain"  # the version is a parameter of it, which the API's document leaves out


class Metrics:
    """Counts an engine's batches, and tells what waits and who listens live."""

    def __init__(self, engine: Engine, live: LiveHost) -> None:
        """Listen to `engine`, which has not been started yet."""
        self._registry = registry = CollectorRegistry()
        self._batches = Counter("stt_batches", "Calls of the recogniser.", ("priority", "outcome"), registry=registry)
        self._items = Histogram("stt_batch_items", "Clips in a batch.", _OF_BATCH, registry=registry, buckets=_ITEMS)
        self._audio = Counter("stt_batch_audio_seconds", "Seconds of audio in batches.", _OF_BATCH, registry=registry)
        self._padded = Counter(
            "stt_batch_padded_seconds", "What batches cost: clips times the longest, in seconds.", _OF_BATCH, registry=registry
        )
        self._run = Histogram("stt_batch_run_seconds", "How long a batch runs.", _OF_BATCH, registry=registry, buckets=_SECONDS)
        self._wait = Histogram(
            "stt_queue_wait_seconds", "How long a clip waits for its batch.", _OF_BATCH, registry=registry, buckets=_SECONDS
        )
        waiting = Gauge("stt_queue_items", "Clips that wait for the recogniser.", registry=registry)
        waiting.set_function(lambda: engine.queue.n_clips)
        waiting_s = Gauge("stt_queue_audio_seconds", "Seconds of audio that wait for the recogniser.", registry=registry)
        waiting_s.set_function(lambda: engine.queue.audio_s)
        live_sessions = Gauge("stt_live_sessions", "Live sessions that are open.", registry=registry)
        live_sessions.set_function(lambda: live.n_open)
        engine.on_batch(self._count)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def _count(self, report: BatchReport) -> None:
        priority = "live" if report.live else "file"
        self._batches.labels(priority, "failed" if report.failed else "done").inc()
        self._items.labels(priority).observe(len(report.audio_s))
        self._audio.labels(priority).inc(sum(report.audio_s))
        self._padded.labels(priority).inc(report.padded_s)
        self._run.labels(priority).observe(report.run_s)
        for waited_s in report.waited_s:
            self._wait.labels(priority).observe(waited_s)


@get(
    "/metrics",
    operation_class=answering_operation({_TEXT: (str,)}),
    responses=error_responses(401),
    tags=["debug"],
    sync_to_thread=False,
)
def metrics(numbers: NamedDependency[Metrics]) -> Response[bytes]:
    """Tell Prometheus what the service does."""
    return Response(numbers.text(), media_type=CONTENT_TYPE_LATEST)

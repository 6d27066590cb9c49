"""What the engine does, in numbers: what waits, what runs and how fast."""

from collections import deque
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ...domain.engine import Engine
from ...domain.pace import BatchReport

_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OF_BATCH: Final = ("priority",)
_RECENT: Final = 100  # batches that the real-time factor is told of


class EngineNumbers:
    """Counts an engine's batches, and tells what waits."""

    def __init__(self, engine: Engine, registry: CollectorRegistry) -> None:
        """Listen to `engine`, which has not been started yet."""
        self._recent: deque[BatchReport] = deque(maxlen=_RECENT)
        self._batches = Counter("stt_batches", "Calls of the recogniser.", ("priority", "outcome"), registry=registry)
        self._items = Histogram("stt_batch_items", "Clips in a batch.", _OF_BATCH, registry=registry, buckets=_ITEMS)
        self._audio = Counter("stt_batch_audio_seconds", "Seconds of audio in batches.", _OF_BATCH, registry=registry)
        self._padded = Counter(
            "stt_batch_padded_seconds", "What batches cost: clips times the longest, in seconds.", _OF_BATCH, registry=registry
        )
        self._run = Histogram(
            "stt_batch_run_seconds", "How long a batch runs; the sum is the model's time.", _OF_BATCH, registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self._wait = Histogram(
            "stt_queue_wait_seconds", "How long a clip waits for its batch.", _OF_BATCH, registry=registry, buckets=_SECONDS
        )
        waiting = Gauge("stt_queue_items", "Clips that wait for the recogniser.", registry=registry)
        waiting.set_function(lambda: engine.queue.n_clips)
        waiting_s = Gauge("stt_queue_audio_seconds", "Seconds of audio that wait for the recogniser.", registry=registry)
        waiting_s.set_function(lambda: engine.queue.audio_s)
        lasts_s = Gauge("stt_queue_seconds", "How long what waits will take, in seconds, by the measured pace.", registry=registry)
        lasts_s.set_function(lambda: engine.queue_lasts_s)
        factor = Gauge(
            "stt_real_time_factor",
            f"Model seconds for a second of audio, over the last {_RECENT} batches; 0 before the first.",
            registry=registry,
        )
        factor.set_function(self._real_time_factor)
        engine.on_batch(self._count)

    def _real_time_factor(self) -> float:
        recent = tuple(self._recent)
        audio_s = sum(sum(report.audio_s) for report in recent)
        return sum(report.run_s for report in recent) / audio_s if audio_s else 0.0

    def _count(self, report: BatchReport) -> None:
        priority = "live" if report.live else "file"
        self._recent.append(report)
        self._batches.labels(priority, "failed" if report.failed else "done").inc()
        self._items.labels(priority).observe(len(report.audio_s))
        self._audio.labels(priority).inc(sum(report.audio_s))
        self._padded.labels(priority).inc(report.padded_s)
        self._run.labels(priority).observe(report.run_s)
        for waited_s in report.waited_s:
            self._wait.labels(priority).observe(waited_s)

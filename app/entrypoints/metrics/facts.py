"""What is served and by what, in numbers: build, model, readiness, the device's memory."""

import asyncio
import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ...domain.engine import Engine
from ...domain.ports import RemoteRecognizer
from ..readiness import ReadyCheck

DISTRIBUTION: Final = "parakeet-stt"


class ServedFacts(Collector):
    """Asks the engine at each scrape, since the model is known only once it is loaded."""

    def __init__(self, engine: Engine, ready: ReadyCheck) -> None:
        self._engine, self._ready = engine, ready

    def collect(self) -> Iterator[Metric]:
        """Yield what can be told now; families that wait for the model are empty until it is loaded."""
        build = InfoMetricFamily("stt_build", "The version of the service and of Python.")
        build.add_metric((), {"version": version(DISTRIBUTION), "python": platform.python_version()})
        yield build
        yield GaugeMetricFamily("stt_ready", "1 while `/readyz` answers 200, 0 otherwise.", float(bool(self._ready)))
        yield CounterMetricFamily(
            "stt_withdrawn_clips", "Clips that were taken out of the queue unheard.", self._engine.n_withdrawn
        )
        tasks = GaugeMetricFamily("stt_tasks", "Tasks of the event loop.")
        with suppress(RuntimeError):  # nothing is told to whoever asks outside of it
            tasks.add_metric((), len(asyncio.all_tasks()))
        yield tasks
        model = InfoMetricFamily("stt_model", "The served model, and where and how it runs.")
        used = GaugeMetricFamily("stt_device_memory_used_bytes", "Memory of the device in use, by any process; none on a CPU.")
        total = GaugeMetricFamily("stt_device_memory_total_bytes", "Memory that the device has; none on a CPU.")
        reserved = GaugeMetricFamily("stt_device_memory_reserved_bytes", "What this process holds of it; none on a CPU.")
        running = GaugeMetricFamily("stt_replicas_running", "Replicas of the model that run; none where it is in this process.")
        batches = CounterMetricFamily(
            "stt_replica_batches", "Batches that a replica ran for this process.", labels=("replica", "outcome")
        )
        run = CounterMetricFamily(
            "stt_replica_run_seconds", "What a replica's model took for this process, without the way.", labels=("replica",)
        )
        if self._engine.state == "ready":
            recognizer = self._engine.loaded.result()
            facts = recognizer.facts
            model.add_metric((), {"model": facts.model_id, "device": facts.device, "precision": facts.precision})
            if memory := recognizer.device_memory():
                used.add_metric((), memory.used_bytes)
                total.add_metric((), memory.total_bytes)
                reserved.add_metric((), memory.reserved_bytes)
            if isinstance(recognizer, RemoteRecognizer):
                running.add_metric((), recognizer.n_running())
                for numbers in recognizer.replicas():
                    batches.add_metric((numbers.replica, "done"), numbers.done)
                    batches.add_metric((numbers.replica, "failed"), numbers.failed)
                    run.add_metric((numbers.replica,), numbers.run_s)
        yield from (model, used, total, reserved, running, batches, run)

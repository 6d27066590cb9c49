"""All numbers of one application, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from ...domain.engine import Engine
from ..readiness import ReadyCheck
from .engine import EngineNumbers
from .facts import ServedFacts
from .live import LiveNumbers
from .requests import RequestNumbers


class Metrics:
    """What the service counts. An application has its own: nothing is shared with another in the same process."""

    def __init__(self, engine: Engine, *, ready: ReadyCheck, n_live: Callable[[], int]) -> None:
        """Listen to `engine`, which has not been started yet.

        Args:
            ready: Whether the service takes work.
            n_live: How many live sessions are open.
        """
        self._registry = CollectorRegistry()
        audio = Counter("stt_audio_seconds", "Seconds of audio taken in, decoded.", ("source",), registry=self._registry)
        self.requests = RequestNumbers(self._registry, audio)
        self.live = LiveNumbers(self._registry, audio, n_live)
        EngineNumbers(engine, self._registry)
        self._registry.register(ServedFacts(engine, ready))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def families(self) -> list[Metric]:
        """Return everything as it is now, by name, with its kind and meaning."""
        return sorted(self._registry.collect(), key=lambda family: family.name)

"""Requests and live sessions in numbers: how many, how long, how they ended.

Litestar's own Prometheus plugin would count into the process's one global registry, under the path as it was sent or not at all
where no route takes it, and only what reaches a route: not the 401, 429 and 503 of the doors before it. This one is such a door.
"""

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..http.requests import noted

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 300, 1800)
_STAGE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STAGE_SUFFIX: Final = "_ms"
_NO_ROUTE: Final = "none"  # whatever was asked for: a label that strangers choose would have no end of values
_ENDED_WELL: Final = frozenset({"finished", "left", "cancelled"})  # outcomes of live sessions that refuse nothing


class RequestNumbers:
    """Counts what `note` was told of each request, by route."""

    def __init__(self, registry: CollectorRegistry, audio: Counter) -> None:
        """Count the sound of files under the label `file` of `audio`."""
        self._audio = audio.labels("file")
        self._requests = Counter("stt_requests", "Requests answered.", ("route", "status"), registry=registry)
        self._seconds = Histogram(
            "stt_request_seconds", "From a request's head to the end of its answer.", ("route",), registry=registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self.open = Gauge("stt_requests_open", "Requests under way.", registry=registry)
        self._left = Counter("stt_cancelled_requests", "Requests whose client left first.", ("route",), registry=registry)
        self._refusals = Counter(
            "stt_refusals", "Errors told, by the code in the answer; of live sessions by how they ended.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "stt_stage_seconds", "How long each stage of a transcription took in all.", ("stage",), registry=registry,
            buckets=_STAGE_SECONDS,
        )  # fmt: skip
        self._sessions = Counter(
            "stt_live_sessions_ended", "Live sessions that are over.", ("protocol", "outcome"), registry=registry
        )
        self._session_seconds = Histogram(
            "stt_live_session_seconds", "How long a live session lasted.", ("protocol",), registry=registry,
            buckets=(1, 10, 60, 300, 900, 3600, 14_400),
        )  # fmt: skip

    def request_ended(self, route: str, status: int, elapsed_s: float, facts: Mapping[str, object]) -> None:
        """Count one request; no `status` means that nothing was answered."""
        if status:
            self._requests.labels(route, str(status)).inc()
            self._seconds.labels(route).observe(elapsed_s)
        if facts.get("left"):
            self._left.labels(route).inc()
        if error := facts.get("error"):
            self._refusals.labels(str(error)).inc()
        if isinstance(audio_s := facts.get("audio_s"), float):
            self._audio.inc(audio_s)
        for name, value in facts.items():
            if name.endswith(_STAGE_SUFFIX) and isinstance(value, int | float):
                self._stages.labels(name.removesuffix(_STAGE_SUFFIX)).observe(value / 1000)

    def session_ended(self, elapsed_s: float, facts: Mapping[str, object]) -> None:
        """Count one live session."""
        protocol, outcome = str(facts["protocol"]), str(facts["outcome"])
        self._sessions.labels(protocol, outcome).inc()
        self._session_seconds.labels(protocol).observe(elapsed_s)
        if outcome not in _ENDED_WELL:
            self._refusals.labels(outcome).inc()


class CountingDoor(ASGIMiddleware):
    """Tells `RequestNumbers` of all that passes. It must lie inside the door that begins a request's facts."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, numbers: RequestNumbers, routes: Iterable[str]) -> None:
        """Know `routes`, so that what a door refuses is counted under them, too."""
        self._numbers, self._routes = numbers, frozenset(routes)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        began_s, status = perf_counter(), 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if scope["type"] == ScopeType.WEBSOCKET:
            try:
                await next_app(scope, receive, send)
            finally:
                if (facts := noted()).get("outcome"):
                    self._numbers.session_ended(perf_counter() - began_s, facts)
            return
        with self._numbers.open.track_inprogress():
            try:
                await next_app(scope, receive, send_noting)
            finally:
                self._numbers.request_ended(self._route(scope), status, perf_counter() - began_s, noted())

    def _route(self, scope: Scope) -> str:
        template = str(scope.get("path_template") or scope["path"].rstrip("/") or "/")
        return template if template in self._routes else _NO_ROUTE

"""The ASGI application."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

import structlog
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Server

from ..container import Container
from ..domain.engine import Engine
from ..domain.stages import extended
from ..domain.transcriber import Transcriber
from ..settings import Settings
from .batch_log import BatchLog
from .bridge import Bridge
from .callers import caller_of
from .client_secrets import ClientSecrets
from .drain import Drain
from .gate import Gate
from .http.answers import HANDLERS
from .http.client_secrets import SECRET_BODIES, create_client_secret, create_transcription_session
from .http.debug import latest_batches, model_configuration, running_stacks, settings_in_force
from .http.doors import HeadAsGet, OriginDoor, ReadOut, UntilLeft
from .http.drain_door import DrainDoor
from .http.form import Form, read_form
from .http.headers import HeaderDoor
from .http.health import health, readiness
from .http.metrics import metrics
from .http.models import list_models, retrieve_model
from .http.openapi import describe
from .http.page import Page
from .http.prefix import PrefixDoor
from .http.reference import ReferencePage, seal
from .http.requests import RequestLog, note_stage
from .http.transcriptions import BODIES, create_transcription, create_translation, transcribe
from .http.upload_clock import UploadClock
from .metrics.registry import Metrics
from .metrics.requests import CountingDoor
from .proxies import ProxyDoor
from .rates import Meter
from .readiness import ReadyCheck
from .traces import TraceDoor, open_provider, with_spans
from .watch import give_up_when_stuck
from .websocket.host import LiveHost
from .websocket.plain import hear
from .websocket.realtime import hear_realtime

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.stdlib.get_logger()

DISTRIBUTION: Final = "parakeet-stt"
_CLOSE_S: Final = 5.0  # for a batch that still runs when nobody waits for it any more


def create_app(
    container: Container,
    *,
    drain: Drain | None = None,
    on_model_failed: Callable[[BaseException], None] = lambda _failure: None,
    traces: "TracerProvider | None" = None,
) -> Litestar:
    """Build the application. The model loads in the background once the server has started.

    Args:
        container: Where the parts come from.
        drain: Whoever stops the process begins it beforehand, and waits for it, so that nothing under way is cut off.
        on_model_failed: Told, on the engine's thread, what kept the model from loading; readiness is off from then on.
        traces: Where spans go; None is where the settings say, if they do.
    """
    settings: Settings = container.settings()
    engine: Engine = container.engine()
    drain, traces = drain or Drain(), traces or open_provider(settings)
    bridge = Bridge(workers=settings.max_requests, deadline_s=settings.deadline_s, drain=drain)
    ready = ReadyCheck(engine, drain, decodes=container.decodes)
    numbers = Metrics(engine, ready=ready, n_live=lambda: live.n_open)
    live = LiveHost(
        engine,
        container.detector,
        container.normalizer,
        max_sessions=settings.max_live_sessions,
        max_backlog_s=settings.live_backlog_s,
        watch=with_spans(numbers.live.watch, traces) if traces else numbers.live.watch,
    )
    client_secrets = ClientSecrets(time)
    page = Page() if settings.page else None
    gate = Gate(settings, open_paths=page.paths if page else ())
    batch_log = BatchLog(engine, unix_s=time)
    started_unix_s = int(time())

    def provide_transcriber() -> Transcriber:
        engine.recognizer()  # refuses until all parts are loaded: from then on building a transcriber costs nothing
        return container.transcriber()

    async def provide_form(request: Request[Any, Any, State], meter: NamedDependency[Meter]) -> AsyncGenerator[Form, None]:
        meter.check_audio()
        engine.check_room()  # before the body is read: to refuse must stay cheap when there is most to refuse
        bridge.check_room()
        began_s = monotonic()
        with await read_form(request.headers, request.stream(), max_upload_mb=settings.max_upload_mb) as form:
            note_stage("receive", extended(None, began_s=began_s, ended_s=monotonic()))
            yield form

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        engine.loaded.add_done_callback(lambda loaded: on_model_failed(failure) if (failure := loaded.exception()) else None)
        engine.start()
        endless = (give_up_when_stuck(engine, stuck_s=settings.stuck_s), *gate.watches())
        watching = [asyncio.create_task(watch) for watch in endless]
        try:
            yield
        finally:
            for watch in watching:
                watch.cancel()
            live.close()
            bridge.close()
            engine.close(patience_s=_CLOSE_S)
            container.parts().close()
            if traces:
                traces.shutdown()  # sends what is left

    app = Litestar(
        route_handlers=[
            create_transcription,
            create_translation,
            transcribe,
            list_models,
            retrieve_model,
            health,
            readiness,
            model_configuration,
            settings_in_force,
            latest_batches,
            running_stacks,
            metrics,
            hear,
            hear_realtime,
            create_client_secret,
            create_transcription_session,
            *(page.handlers() if page else ()),
        ],
        dependencies={
            "settings": _given(settings),
            "engine": _given(engine),
            "bridge": _given(bridge),
            "transcriber": Provide(provide_transcriber, sync_to_thread=False),
            "live": _given(live),
            "entrance": Provide(gate.provide_entrance, sync_to_thread=False),
            "caller": Provide(caller_of, sync_to_thread=False),
            "meter": Provide(gate.provide_meter, sync_to_thread=False),
            "drain": _given(drain),
            "ready": _given(ready),
            "client_secrets": _given(client_secrets),
            "numbers": _given(numbers),
            "batch_log": _given(batch_log),
            "started_unix_s": _given(started_unix_s),
            "form": Provide(provide_form),
        },
        exception_handlers=HANDLERS,
        lifespan=[lifespan],
        logging_config=None,
        request_max_body_size=None,  # whoever reads a body counts
        openapi_config=OpenAPIConfig(
            title=DISTRIBUTION,
            version=version(DISTRIBUTION),
            openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, after_request=seal),
            use_handler_docstrings=True,
            servers=[Server(url=settings.path_prefix or "/")],
            render_plugins=[ReferencePage()],
        ),
    )
    describe(app.openapi_schema, *BODIES, *SECRET_BODIES)
    # Around all of it, as Litestar's own middleware sees no request that no route takes. The last is the outermost: what
    # the others answer has an id too, and a browser may read a 401.
    counting = CountingDoor(numbers.requests, [route.path_format for route in app.routes])
    doors = (
        UntilLeft(), UploadClock(drain, idle_s=settings.upload_idle_s, least_bytes_per_s=1000 * settings.upload_least_kb_s),
        *gate.doors(), DrainDoor(drain), counting,
        OriginDoor(settings.cors_origins), HeadAsGet(), *([TraceDoor(traces)] if traces else ()),
        RequestLog(), HeaderDoor(hsts_s=settings.hsts_s if settings.tls_cert else 0),
        ReadOut(drain),
        ProxyDoor(settings.trusted_proxies), PrefixDoor(settings.path_prefix),
    )  # fmt: skip
    for door in doors:
        app.asgi_handler = door(app.asgi_handler)
    return app


def _given(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)

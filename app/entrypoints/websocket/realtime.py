"""`/v1/realtime`: OpenAI's realtime transcription protocol on a live session."""

import asyncio
from time import time
from typing import Any, Final
from urllib.parse import parse_qs

from litestar import websocket
from litestar.di import NamedDependency
from litestar.types import Scope

from ...domain.engine import Engine
from ...domain.errors import EmptyBufferError, GoingDownError, RateLimitedError
from ...domain.live_events import Event, HandedOver
from ...settings import Settings
from ..client_secrets import ClientSecrets
from ..drain import Drain
from ..errors import INVALID, ErrorBody, Row, body_of
from ..http.requests import note
from ..keys import offered_key
from ..rates import Meter
from .closes import GOING_AWAY, IdleError, RefusedError
from .entrance import Entrance
from .host import LiveConnection, LiveHost
from .realtime_events import ErrorEvent, new_id
from .realtime_protocol import Append, Clear, Commit, Configure, Deed, RealtimeProtocol, error_event
from .realtime_reading import read_event
from .realtime_session import SessionConfig, live_rules, sound_of
from .realtime_updates import RefusedEventError, Served, first_config, served_by
from .sockets import AnySocket, LiveSocket, conversation

SUBPROTOCOL: Final = "realtime"
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
BETA_MARK: Final = b"realtime=v1"  # in the header `OpenAI-Beta`
UNKNOWN_KEY: Final = 3000  # close codes that the hosted API uses
UNKNOWN_MODEL: Final = 4000
_SESSION_OVER: Final = Row(408, INVALID, "session_expired")
_NO_SUCH_MODEL: Final = Row(404, INVALID, "invalid_model")
_LARGE_FRAME: Final = 262_144  # characters or bytes; more is read on a thread, at about 4 ms for each MiB


@websocket(["/v1/realtime", "/realtime"])
async def hear_realtime(
    socket: AnySocket,
    *,
    settings: NamedDependency[Settings],
    engine: NamedDependency[Engine],
    live: NamedDependency[LiveHost],
    entrance: NamedDependency[Entrance],
    client_secrets: NamedDependency[ClientSecrets],
    drain: NamedDependency[Drain],
) -> None:
    """Transcribe while it comes, in OpenAI's realtime protocol."""
    client = LiveSocket(
        socket, drain, idle_s=settings.live_idle_s, stall_s=settings.stall_s, as_message=_as_event, as_reason=_as_reason
    )
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in _subprotocols(client.scope) else None
    async with conversation(client, protocol="realtime", subprotocol=subprotocol):
        meter = entrance.admit(client.scope, code=UNKNOWN_KEY, secrets=client_secrets)
        served = served_by(engine, settings)
        asked = _asked_model(client.scope)
        if asked and not served.offers(asked):
            told = f"the model `{asked[:100]}` does not exist here; this service offers {', '.join(served.names)}"
            raise RefusedError(body_of(_NO_SUCH_MODEL, told, param="model"), code=UNKNOWN_MODEL)
        config = client_secrets.preset(offered_key(client.scope)) or first_config(served, asked)
        await _Session(client, config, served, settings).hold(live, meter)


class _Session:
    """One client's talk with one live session."""

    def __init__(self, client: LiveSocket, config: SessionConfig, served: Served, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._protocol = RealtimeProtocol(
            config,
            served,
            expires_unix_s=int(time() + settings.realtime_session_s),
            beta=_is_beta(client.scope),
            new_id=new_id,
        )
        self._over_s = asyncio.get_running_loop().time() + settings.realtime_session_s
        self._n_utterances = 0

    async def hold(self, live: LiveHost, meter: Meter) -> None:
        """Hear the client out, until it leaves or its time is over."""
        config = self._protocol.config
        rules = live_rules(config, longest_s=self._settings.live_utterance_s)
        async with live.session(*sound_of(config), rules, self._tell, meter, beside=self._client.while_there) as connection:
            await self._client.send(self._protocol.created())
            try:
                while True:
                    await self._take(await self._next(), connection)
            except (IdleError, RefusedError, GoingDownError, RateLimitedError):
                await self._client.unless_left(connection.finish())  # what was said has its text before the client is told
                raise
            finally:
                note(heard_s=round(connection.heard_s, 3), utterances=self._n_utterances)

    async def _next(self) -> str | bytes:
        try:
            async with asyncio.timeout_at(self._over_s):
                await asyncio.sleep(0)  # else a client that always has sent something already would go on for ever
                return await self._client.receive()
        except TimeoutError as passed:
            told = f"the session has reached its limit of {self._settings.realtime_session_s:g} s"
            raise RefusedError(body_of(_SESSION_OVER, told), code=GOING_AWAY) from passed

    async def _take(self, frame: str | bytes, connection: LiveConnection) -> None:
        try:
            event = read_event(frame) if len(frame) < _LARGE_FRAME else await asyncio.to_thread(read_event, frame)
            deed = self._protocol.react(event)
            try:
                await self._do(deed, connection)
            except EmptyBufferError as failure:
                code = "input_audio_buffer_commit_empty"
                raise RefusedEventError(str(failure), code=code, event_id=event.event_id) from failure
        except RefusedEventError as refusal:
            await self._client.send(self._protocol.refused(refusal))
            return
        for told in self._protocol.did(deed):
            await self._client.send(told)

    async def _do(self, deed: Deed, connection: LiveConnection) -> None:
        match deed:
            case Append(data):
                await connection.push(data)
            case Commit():
                await connection.commit()
            case Clear():
                await connection.clear()
            case Configure():
                config = self._protocol.config
                if deed.other_sound:
                    await connection.listen_to(*sound_of(config))
                await connection.configure(live_rules(config, longest_s=self._settings.live_utterance_s))

    async def _tell(self, event: Event) -> None:
        self._n_utterances += isinstance(event, HandedOver)
        for told in self._protocol.told(event):
            await self._client.send(told)


def _asked_model(scope: Scope) -> str:
    return parse_qs(scope["query_string"].decode("latin-1")).get("model", [""])[0]


def _subprotocols(scope: Scope) -> list[str]:
    offered: Any = scope.get("subprotocols")
    return list(offered or ())


def _is_beta(scope: Scope) -> bool:
    marked = any(name == b"openai-beta" and BETA_MARK in value for name, value in scope["headers"])
    return marked or BETA_SUBPROTOCOL in _subprotocols(scope)


def _as_event(body: ErrorBody) -> ErrorEvent:
    return error_event(body, new_id)


def _as_reason(body: ErrorBody) -> str:
    return f"{body.error.type}.{body.error.code}"

"""`/ws`: raw sound in, one text for each utterance out; the protocol of the service this one replaces, with additions."""

from typing import Any

from litestar import websocket
from litestar.di import NamedDependency

from ...domain.errors import GoingDownError, InvalidRequestError, RateLimitedError
from ...domain.live_events import Event
from ...settings import Settings
from ..drain import Drain
from ..errors import body_of_failure
from ..http.requests import note
from ..rates import Meter
from .closes import IdleError, RefusedError
from .entrance import Entrance
from .host import LiveConnection, LiveHost
from .plain_messages import Status, read_choices, read_message, read_query
from .plain_texts import Texts, rules_of
from .sockets import AnySocket, LiveSocket, conversation


@websocket("/ws")
async def hear(
    socket: AnySocket,
    *,
    settings: NamedDependency[Settings],
    live: NamedDependency[LiveHost],
    entrance: NamedDependency[Entrance],
    drain: NamedDependency[Drain],
) -> None:
    """Transcribe raw sound while it comes."""
    client = LiveSocket(socket, drain, idle_s=settings.live_idle_s, stall_s=settings.stall_s)
    async with conversation(client, protocol="ws", subprotocol=_subprotocol(client)):
        meter = entrance.admit(client.scope)
        await _Session(client, settings).hold(live, meter)


class _Session:
    """One client's talk with one live session."""

    def __init__(self, client: LiveSocket, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._chosen = read_query(client.scope["query_string"])
        self._texts = Texts()
        self._may_start = True  # until the first sound has come

    async def hold(self, live: LiveHost, meter: Meter) -> None:
        """Hear the client out, until it says that it has finished."""
        asked = read_choices(self._chosen)
        self._texts, rules = Texts(words=asked.words), rules_of(asked, longest_s=self._settings.live_utterance_s)
        beside = self._client.while_there
        async with live.session(asked.encoding, asked.rate_hz, rules, self._tell, meter, beside=beside) as connection:
            try:
                while await self._take(await self._client.receive(), connection):
                    pass
                await self._client.unless_left(connection.finish())
                await self._client.send(Status("finished"))
            except (IdleError, RefusedError, GoingDownError, RateLimitedError):
                await self._client.unless_left(connection.finish())  # what was said has its text before the client is told
                raise
            finally:
                note(heard_s=round(connection.heard_s, 3), utterances=self._texts.n_utterances)

    async def _take(self, message: str | bytes, connection: LiveConnection) -> bool:
        """Do what a message says; False after the one that says there is no more."""
        if isinstance(message, bytes):
            self._may_start = False
            await connection.push(message)
            return True
        try:
            kind, members = read_message(message)
            match kind:
                case "finish":
                    return False
                case "commit":
                    await connection.commit()
                case "clear":
                    await connection.clear()
                    self._texts.from_s = connection.heard_s
                case _:
                    await self._start(members, connection)
        except InvalidRequestError as fault:
            await self._client.tell(body_of_failure(fault))
        return True

    async def _start(self, members: dict[str, Any], connection: LiveConnection) -> None:
        if not self._may_start:
            raise InvalidRequestError("`start` must come before any audio", field="type")
        asked = read_choices({**self._chosen, **members})
        await connection.configure(rules_of(asked, longest_s=self._settings.live_utterance_s))
        await connection.listen_to(asked.encoding, asked.rate_hz)
        self._texts = Texts(words=asked.words)

    async def _tell(self, event: Event) -> None:
        if message := self._texts.of(event):
            await self._client.send(message)


def _subprotocol(client: LiveSocket) -> str | None:
    """Choose the first that is offered and holds nothing secret: a browser that offers any gives up if none is chosen."""
    offered: Any = client.scope.get("subprotocols") or ()
    return next((str(name) for name in offered if name and not name.startswith("openai-")), None)

"""`/ws`: raw sound in, one text for each utterance out; the protocol of the service this one replaces, with additions."""

from typing import Any

from litestar import websocket
from litestar.di import NamedDependency

from ...domain.errors import GoingDownError, InvalidRequestError, RateLimitedError
from ...domain.live import LiveRules
from ...domain.live_events import Event, Failed, Final, HandedOver, Partial, Started
from ...domain.ports import Options
from ...domain.transcript import Transcript
from ...domain.voice_activity import SpanRules
from ...settings import Settings
from ..drain import Drain
from ..errors import body_of_failure
from ..http.requests import note
from ..rates import Meter
from .entrance import Entrance
from .host import LiveConnection, LiveHost
from .plain_messages import Asked, Status, Text, UtteranceError, WordHeard, read_choices, read_message, read_query, words_heard
from .sockets import AnySocket, IdleError, LiveSocket, RefusedError, conversation


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
        self._asked = Asked()
        self._may_start = True  # until the first sound has come
        self._from_s = 0.0  # where the present utterance starts
        self._n_utterances = 0

    async def hold(self, live: LiveHost, meter: Meter) -> None:
        """Hear the client out, until it says that it has finished."""
        self._asked = read_choices(self._chosen)
        asked, rules = self._asked, _rules(self._asked, self._settings)
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
                note(heard_s=round(connection.heard_s, 3), utterances=self._n_utterances)

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
                    self._from_s = connection.heard_s
                case _:
                    await self._start(members, connection)
        except InvalidRequestError as fault:
            await self._client.tell(body_of_failure(fault))
        return True

    async def _start(self, members: dict[str, Any], connection: LiveConnection) -> None:
        if not self._may_start:
            raise InvalidRequestError("`start` must come before any audio", field="type")
        asked = read_choices({**self._chosen, **members})
        await connection.configure(_rules(asked, self._settings))
        await connection.listen_to(asked.encoding, asked.rate_hz)
        self._asked = asked

    async def _tell(self, event: Event) -> None:
        match event:
            case Started():
                self._from_s = event.at_s
            case HandedOver():
                self._from_s = event.end_s
                self._n_utterances += 1
                await self._client.send(Status("queued"))
            case Partial():
                await self._client.send(self._partial(event))
            case Final():
                await self._client.send(self._final(event))
            case Failed():
                body = body_of_failure(event.failure)
                await self._client.send(UtteranceError(error=body.error, utterance=event.utterance))
            case _:
                pass  # this protocol says nothing of pauses

    def _partial(self, event: Partial) -> Text:
        whole = Transcript(tokens=event.stable.tokens + event.tentative.tokens)
        stable = event.stable.text
        return Text(
            text=whole.text,
            utterance=event.utterance,
            final=False,
            start=round(self._from_s, 3),
            end=round(max((word.end_s for word in whole.words), default=self._from_s), 3),
            stable=stable,
            tentative=whole.text[len(stable) :],
            words=self._words(whole),
        )

    def _final(self, event: Final) -> Text:
        return Text(
            text=event.transcript.text,
            utterance=event.utterance,
            final=True,
            start=round(event.start_s, 3),
            end=round(event.end_s, 3),
            words=self._words(event.transcript),
        )

    def _words(self, transcript: Transcript) -> list[WordHeard] | None:
        return words_heard(transcript) if self._asked.words else None


def _rules(asked: Asked, settings: Settings) -> LiveRules:
    spans = SpanRules(threshold=asked.threshold, least_silence_s=asked.silence_ms / 1000, pad_before_s=asked.prefix_ms / 1000)
    return LiveRules(
        spans=spans if asked.endpointing else None,
        longest_s=settings.live_utterance_s,
        partials=asked.partials,
        options=Options(keywords=asked.keywords),
    )


def _subprotocol(client: LiveSocket) -> str | None:
    """Choose the first that is offered and holds nothing secret: a browser that offers any gives up if none is chosen."""
    offered: Any = client.scope.get("subprotocols") or ()
    return next((str(name) for name in offered if name and not name.startswith("openai-")), None)

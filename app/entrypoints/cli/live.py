"""The two ways in which `listen` has sound heard: by a model in this process, or over `/ws` of a running service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from ...domain.errors import SpeechError
from ...domain.live_events import Event
from ...settings import Settings
from ..embedded import load
from ..errors import ErrorBody
from ..websocket.plain_messages import Asked, Status, Text, UtteranceError
from ..websocket.plain_texts import Texts, rules_of
from .address import service_address
from .products import multiply_alone

Tell = Callable[[Text | UtteranceError], None]

_LOST: Final = "the service closed the connection"


class Session(Protocol):
    """One live session."""

    async def push(self, data: bytes) -> None:
        """Take the next bytes of sound."""

    async def finish(self) -> None:
        """End the sound, and wait until all that was said is told."""


class Way(Protocol):
    """Opens sessions. `tell` hears the texts, and what became of utterances that have none."""

    def session(self, asked: Asked, tell: Tell) -> AbstractAsyncContextManager[Session]: ...
    def close(self) -> None: ...


class InProcess:
    """A model of our own."""

    def __init__(self, settings: Settings) -> None:
        """Load it; takes as long as that takes."""
        multiply_alone()
        self._speech, self._longest_s = load(settings), settings.live_utterance_s

    @asynccontextmanager
    async def session(self, asked: Asked, tell: Tell) -> AsyncIterator[Session]:
        texts = Texts(words=asked.words)

        async def emit(event: Event) -> None:
            if (message := texts.of(event)) and not isinstance(message, Status):
                tell(message)

        rules = rules_of(asked, longest_s=self._longest_s)
        async with self._speech.live(emit, rules, encoding=asked.encoding, rate_hz=asked.rate_hz) as connection:
            yield connection

    def close(self) -> None:
        self._speech.close()


class OverWebSocket:
    """A running service."""

    def __init__(self, url: str, *, api_key: str | None) -> None:
        """Prepare.

        Raises:
            UsageError: That is no address of a service.
        """
        self._base = f"ws{service_address(url).removeprefix('http')}"
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    @asynccontextmanager
    async def session(self, asked: Asked, tell: Tell) -> AsyncIterator[Session]:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        try:
            socket = await connect(f"{self._base}/ws?{_query(asked)}", additional_headers=self._headers, max_size=None)
        except (OSError, WebSocketException) as fault:
            raise SpeechError(f"the service cannot be reached: {fault}") from fault
        async with socket:
            session = _SocketSession(socket, tell)
            try:
                yield session
            finally:
                session.leave()

    def close(self) -> None: ...


class _SocketSession:
    def __init__(self, socket: Any, tell: Tell) -> None:
        self._socket, self._tell = socket, tell
        self._receiving = asyncio.create_task(self._receive())

    async def push(self, data: bytes) -> None:
        await self._send(data)

    async def finish(self) -> None:
        await self._send('{"type": "finish"}')
        await self._receiving

    def leave(self) -> None:
        self._receiving.cancel()

    async def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(message)
        except ConnectionClosed:
            await self._receiving  # which knows better why
            raise SpeechError(_LOST) from None

    async def _receive(self) -> None:
        """Tell all that comes until the service closes; raises a `SpeechError` with its reason if that is no regular end."""
        from websockets.exceptions import ConnectionClosed

        reason = _LOST
        with suppress(ConnectionClosed):
            async for data in self._socket:
                message = _read(data)
                match message:
                    case Status("finished"):
                        return
                    case Text() | UtteranceError():
                        self._tell(message)
                    case ErrorBody():
                        reason = message.error.message
                    case _:
                        pass  # `queued`
        raise SpeechError(reason)


def _read(data: str | bytes) -> Status | Text | UtteranceError | ErrorBody:
    """Read a message of `/ws`, whose kinds are known by their members.

    Raises:
        SpeechError: It is none.
    """
    kind: Any = Status
    try:
        names = msgspec.json.decode(data, type=dict[str, Any])
        if "text" in names:
            kind = Text
        elif "error" in names:
            kind = UtteranceError if "utterance" in names else ErrorBody
        found: Status | Text | UtteranceError | ErrorBody = msgspec.convert(names, kind)
    except msgspec.DecodeError as fault:
        raise SpeechError(f"the service sends what is no message of /ws: {fault}") from fault
    return found


def _query(asked: Asked) -> str:
    chosen: dict[str, Any] = msgspec.to_builtins(asked)
    told = {name: str(value).lower() if isinstance(value, bool) else value for name, value in chosen.items() if value is not None}
    return urlencode(told, doseq=True)


def way_of(settings: Settings, *, server: str | None, api_key: str | None) -> Way:
    """Return the way that was chosen; loading a model takes as long as that takes.

    Raises:
        UsageError: `server` is no address of a service.
        ModelUnavailableError: The model cannot be had.
    """
    return OverWebSocket(server, api_key=api_key) if server else InProcess(settings)

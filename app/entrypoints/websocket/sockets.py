"""What the live protocols share: messages in and out, and how a conversation ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec
import structlog
from litestar import WebSocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.types import Scope

from ...domain.errors import GoingDownError, SpeechError
from ..drain import Drain, going_down
from ..errors import IDLE, INTERNAL, LARGE_MESSAGE, ErrorBody, body_of, body_of_failure, internal_body, row_of
from ..http.requests import REQUEST_ID, begin_request
from ..throttle import Throttle
from .closes import (
    BROKEN,
    FAILED,
    FINISHED,
    GOING_AWAY,
    NO_CODE,
    REFUSED,
    TOO_LARGE,
    IdleError,
    LeftError,
    RefusedError,
    close_code,
)

log = structlog.stdlib.get_logger()

AnySocket = WebSocket[Any, Any, State]
T = TypeVar("T")

_FAREWELL_S: Final = 1.0  # how long one that was told of an error may send before it is closed; chosen
_QUIET_S: Final = 0.3  # and it is done with sending when nothing came for so long; chosen
SMALL_BYTES: Final = 320  # of a message: 10 ms of sound, 16-bit at 16 kHz
SMALL_PER_S: Final = 500  # ten times what a telephone sends in its frames of 20 ms; chosen
SMALL_AT_ONCE: Final = 2_000
LARGEST_MESSAGE: Final = 21 * 1024 * 1024  # bytes or characters: 15 MiB of sound in base64, and what stands around it
_REASON_BYTES: Final = 123  # a control frame has room for no more (RFC 6455, 5.5)


class LiveSocket:
    """One client's socket. One task receives; several may send."""

    def __init__(
        self,
        socket: AnySocket,
        drain: Drain,
        *,
        idle_s: float,
        stall_s: float,
        as_message: Callable[[ErrorBody], msgspec.Struct] = lambda body: body,
        as_reason: Callable[[ErrorBody], str] = lambda body: f"{body.error.code}: {body.error.message}",
    ) -> None:
        """Wrap a socket that is not accepted yet.

        Args:
            drain: Ends the conversation when the service goes down.
            idle_s: How long a client may send nothing.
            stall_s: How long it may take in nothing of what it is sent; it has stopped reading then.
            as_message: Makes the protocol's message of an error.
            as_reason: Makes what is said of an error at the close.
        """
        self._socket, self._as_message, self._as_reason = socket, as_message, as_reason
        self._drain, self._idle_s, self._stall_s = drain, idle_s, stall_s
        self._throttle = Throttle(small_bytes=SMALL_BYTES, per_s=SMALL_PER_S, at_once=SMALL_AT_ONCE)
        self._lost = self._may_be_broken = False
        self._early: asyncio.Future[Any] | None = None  # the next message, where it was waited for beside other work
        self._waiting: asyncio.Timeout | None = None  # while a message is waited for
        self._takes_more = False  # and while it would be heard

    @property
    def scope(self) -> Scope:
        """What ASGI tells of the connection."""
        return self._socket.scope

    async def accept(self, *, request_id: str, subprotocol: str | None) -> None:
        """Answer the handshake."""
        await self._hand_out(self._socket.accept(subprotocols=subprotocol, headers={REQUEST_ID: request_id}))

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            IdleError: None came for too long.
            LeftError: The client is gone.
            RefusedError: It is too large.
            GoingDownError: The service ends; what was heard until now is to be finished.
        """
        self._takes_more = True
        try:
            self.check_open()
            message = await self._receive(patience_s=self._idle_s)
        except IdleError:
            self.check_open()
            raise
        finally:
            self._takes_more = False
        if len(message) > LARGEST_MESSAGE:
            raise RefusedError(body_of(LARGE_MESSAGE, f"a message may have at most {LARGEST_MESSAGE} bytes"), code=TOO_LARGE)
        return message

    def check_open(self) -> None:
        """Raise `GoingDownError` if the service ends."""
        if self._drain.begun:
            raise going_down()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Have the service wait for the block when it goes down."""
        with self._drain.work(self._hurry):
            yield

    async def send(self, message: msgspec.Struct) -> None:
        """Send a message as JSON; where the client is gone, or does not read, nothing happens and `receive` raises."""
        if not self._lost:
            await self._hand_out(self._socket.send_data(msgspec.json.encode(message)))

    async def tell(self, body: ErrorBody) -> None:
        """Send an error in the protocol's own form."""
        await self.send(self._as_message(body))

    async def dismiss(self, body: ErrorBody, code: int) -> None:
        """Tell an error and close for it.

        What the client has under way is read before: if bytes are left unread at the close, the kernel resets the connection,
        and the client may lose what it was told.
        """
        await self.tell(body)
        with suppress(LeftError, IdleError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                while True:
                    await self._receive(patience_s=_QUIET_S)
        await self.close(code, self._as_reason(body))

    async def close(self, code: int, reason: str = "") -> None:
        """Close, once. No `receive` may be under way: Granian would send no close frame, and wait for this socket at shutdown."""
        if self._lost:
            return
        shown = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        await self._hand_out(self._socket.close(code, shown))
        self._lost = True

    async def part(self) -> None:
        """Close for a client that broke the protocol's rules; for one that has left nothing happens.

        Granian tells of both as of a close without a code, and would answer the first with the same.
        """
        if self._may_be_broken:
            self._socket.connection_state = "receive"  # in the other state Litestar would not send
            with suppress(TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._socket.close(BROKEN)

    def let_go(self) -> None:
        """Give the connection back; nothing is received or sent after this.

        Litestar's socket refers to itself by both. Without this the server's connection, and its descriptor where the network
        broke it, would stay until Python looks for garbage.
        """
        del self._socket.receive, self._socket.send

    async def unless_left(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`; what the client sends meanwhile is dropped.

        Raises:
            LeftError: The client is gone; the work was cancelled.
            GoingDownError: So was it because the service's time was over.
        """
        working, watching = asyncio.create_task(work), asyncio.create_task(self._watch())
        try:
            async with self._drain.within():
                await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
        if working.cancelled():
            raise LeftError
        return working.result()

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`; one message that the client sends meanwhile is kept for `receive`.

        Raises:
            LeftError: The client is gone, as far as one message or what it was sent last can tell; the work was cancelled.
        """
        self._early = early = self._early or asyncio.ensure_future(self._socket.receive())
        working = asyncio.create_task(work)
        try:
            await asyncio.wait((working, early), return_when=asyncio.FIRST_COMPLETED)
            if self._lost or (early.done() and self._has_left(early.result())):
                raise LeftError
            return await working
        except BaseException:
            working.cancel()
            early.cancel()
            raise

    async def _watch(self) -> None:
        while True:
            await self._receive(patience_s=None)

    async def _receive(self, *, patience_s: float | None) -> str | bytes:
        if self._lost:
            raise LeftError
        try:
            async with asyncio.timeout(patience_s) as self._waiting:
                message: Any = await (self._early or self._socket.receive())
        except TimeoutError as passed:
            raise LeftError if self._lost else IdleError from passed
        finally:
            self._waiting = self._early = None
        if self._has_left(message):
            raise LeftError
        data: str | bytes | None = message.get("bytes")
        found = message.get("text") or "" if data is None else data
        await self._throttle.take(len(found))
        return found

    def _has_left(self, message: Any) -> bool:
        left: bool = message["type"] != "websocket.receive"
        self._lost = self._lost or left
        self._may_be_broken = left and message.get("code") == NO_CODE
        return left

    async def _hand_out(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await sending
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            self._lost = True
            self._wake()

    def _hurry(self) -> None:
        if self._takes_more:
            self._wake()

    def _wake(self) -> None:
        """Whoever waits for the client's next message need not."""
        if self._waiting and not self._waiting.expired():
            self._waiting.reschedule(0)  # long ago


@asynccontextmanager
async def conversation(client: LiveSocket, *, protocol: str, subprotocol: str | None = None) -> AsyncIterator[None]:
    """Accept a client and hear it out. However the block ends, the client is told why and closed, and one event is logged.

    A block that ends by itself closes with 1000. Facts that are noted (`http.requests.note`) go into the event. When the service
    goes down it waits for all this.
    """
    with client.under_way():
        async with _conversation(client, protocol, subprotocol):
            yield


@asynccontextmanager
async def _conversation(client: LiveSocket, protocol: str, subprotocol: str | None) -> AsyncIterator[None]:
    request_id, record = begin_request(client.scope["headers"])
    started_s, outcome = perf_counter(), "finished"
    try:
        await client.accept(request_id=request_id, subprotocol=subprotocol)
        client.check_open()
        yield
        await client.close(FINISHED)
    except LeftError:
        outcome = "left"
        await client.part()
    except IdleError:
        outcome = IDLE.code
        await client.dismiss(body_of(IDLE, "nothing was sent for too long"), REFUSED)
    except RefusedError as refusal:
        outcome = refusal.body.error.code or "refused"
        await client.dismiss(refusal.body, refusal.code)
    except GoingDownError as failure:
        outcome = "going_down"
        await client.dismiss(body_of_failure(failure), GOING_AWAY)
    except SpeechError as failure:
        outcome, code = row_of(failure).code, close_code(failure)
        if code == FAILED:
            log.error("live_session_failed", exc_info=failure)
        await client.dismiss(body_of_failure(failure), code)
    except Exception as failure:
        outcome = INTERNAL.code
        log.error("live_session_failed", exc_info=failure)
        await client.dismiss(internal_body(), FAILED)
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        client.let_go()
        record.facts.update(protocol=protocol, outcome=outcome)
        log.info("live_session_finished", elapsed_s=round(perf_counter() - started_s, 3), **record.facts)

"""How a case is sent, and what came back."""

import asyncio
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from .case import Exchange, Pieces, Sent, Session

_READ_BYTES = 65_536
_QUIET_S = 0.5  # after an answer, in which a second one may come


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]  # names in small letters
    body: bytes


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    answers: tuple[Answer, ...] = ()  # over HTTP; of a session, that to its handshake if it was refused
    messages: tuple[dict[str, Any], ...] = ()  # of a session
    close: int | None = None  # of a session; None: no close frame came
    rest: bytes = b""  # what is no HTTP


async def exchanged(url: str, sent: Sent) -> Got:
    """Send, and hear what comes, until the connection is closed."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        if isinstance(sent, Exchange):
            return await _over_http(reader, writer, sent)
        return await _in_session(url, reader, writer, sent)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _over_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Exchange) -> Got:
    sending = asyncio.create_task(_send(writer, sent.pieces, ends=sent.ends))
    heard, method = bytearray(), _method_of(sent.pieces)
    try:
        while piece := await asyncio.wait_for(reader.read(_READ_BYTES), _QUIET_S if sending.done() and heard else None):
            heard += piece
    except (OSError, TimeoutError):
        pass  # a reset behind an answer takes nothing from it; a connection that stays open has said all
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    answers, rest = _answers(bytes(heard), method)
    return Got(answers=answers, rest=rest)


def _method_of(pieces: Pieces) -> str:
    first = next((piece for piece in pieces if isinstance(piece, bytes)), b"")
    return first.partition(b" ")[0].decode(errors="replace")


async def _send(writer: asyncio.StreamWriter, pieces: Pieces, *, ends: bool = False) -> None:
    with suppress(OSError):  # the other side need not hear it all
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)
        if ends:
            writer.write_eof()


class _Heard:
    """Bytes in the form that `HTTPResponse` reads."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self  # type: ignore[return-value]  # it reads and never closes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def close(self) -> None:
        """Keep the rest for the next answer."""


def _answers(heard: bytes, method: str) -> tuple[tuple[Answer, ...], bytes]:
    """Return the whole answers, and what is left."""
    source, found, at = _Heard(heard), [], 0
    with suppress(HTTPException, ValueError, OSError):
        while at < len(heard):
            answer = HTTPResponse(source, method=method)  # type: ignore[arg-type]  # as good as a socket
            answer.begin()
            body = answer.read()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            found.append(Answer(status=answer.status, headers=headers, body=body))
            at = source.file.tell()
    return tuple(found), heard[at:]


async def _in_session(url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Session) -> Got:
    protocol = ClientProtocol(parse_uri(url.replace("http", "ws", 1) + sent.path), max_size=None)
    request = protocol.connect()
    for name, value in sent.headers:
        request.headers[name] = value
    protocol.send_request(request)
    writer.writelines(protocol.data_to_send())
    while protocol.handshake_exc is None and protocol.state.name == "CONNECTING":
        if not (data := await reader.read(_READ_BYTES)):
            return Got()
        protocol.receive_data(data)
    if isinstance(protocol.handshake_exc, InvalidHandshake):
        response = next(event for event in protocol.events_received() if isinstance(event, Response))
        return Got(answers=(Answer(status=response.status_code, headers={}, body=response.body or b""),))
    sending = asyncio.create_task(_send(writer, sent.pieces))
    messages: list[dict[str, Any]] = []
    try:
        if not sent.reads:
            await sending
        messages += _messages(protocol)
        while protocol.close_rcvd is None and (data := await reader.read(_READ_BYTES)):
            protocol.receive_data(data)
            messages += _messages(protocol)
            writer.writelines(protocol.data_to_send())
    except OSError:
        pass  # a reset ends it as well
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return Got(messages=tuple(messages), close=protocol.close_rcvd.code if protocol.close_rcvd else None)


def _messages(protocol: ClientProtocol) -> list[dict[str, Any]]:
    """Return the messages that have come since the last call."""
    frames = (event for event in protocol.events_received() if isinstance(event, Frame) and event.opcode is Opcode.TEXT)
    return [json.loads(bytes(frame.data)) for frame in frames]

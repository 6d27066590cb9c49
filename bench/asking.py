"""Clients that ask, and what became of each request. Every one has a connection of its own: a broken one is nobody else's."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from .asks import Ask, Leaves

_PATH: Final = "/v1/audio/transcriptions"
_PIECE_BYTES: Final = 16_384
_PATIENCE_S: Final = 90.0  # beyond a whole drain and a restart
_LEAVES_AFTER_S: Final = 0.005
_PAUSE_BYTES: Final = 4 * 16_000  # a second of silence, as float32
_CLOSED_POLITELY: Final = frozenset({1001, 1008, 1011, 1013})


class Fate(StrEnum):
    """What became of a request."""

    RIGHT = "its own text"
    TOLD = "its own refusal"  # the status that it must get: no audio, poison
    REFUSED = "503 or told to come again"
    UNREACHED = "not connected"
    LEFT = "left by itself"
    UNSENT = "broke before its body was sent"
    BROKEN = "broke"
    LATE = "no answer"
    WRONG_STATUS = "another status"
    FOREIGN = "another text"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A request's end; times on the machine's monotonic clock."""

    ask: Ask
    fate: Fate
    detail: str = ""
    heard: str = ""  # the text, where one came
    began_s: float
    ended_s: float


class End(msgspec.Struct, frozen=True):
    """A fate with its details; of a text, what it says."""

    fate: Fate
    detail: str = ""
    heard: str = ""


async def tell(url: str, ask: Ask) -> Told:
    """Send a request, or hold a live session, to its end."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            end = await (_live(url, ask) if ask.kind == "live" else _http(url, ask))
    except TimeoutError:
        end = End(Fate.LATE, f"nothing within {_PATIENCE_S:.0f} s")
    return Told(ask=ask, fate=end.fate, detail=end.detail, heard=end.heard, began_s=began_s, ended_s=time.monotonic())


class _GoneError(Exception):
    """The client goes away."""


async def _http(url: str, ask: Ask) -> End:
    whole = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal whole
        for at in range(0, len(ask.body), _PIECE_BYTES):
            if ask.leaves is Leaves.UPLOADING and at:
                raise _GoneError
            yield ask.body[at : at + _PIECE_BYTES]
        if ask.leaves is Leaves.UPLOADING:
            raise _GoneError
        whole = True

    headers = {
        "content-type": ask.content_type, "content-length": str(len(ask.body) + (ask.leaves is Leaves.UPLOADING)),
        "x-request-id": ask.request_id, "connection": "close",
    }  # fmt: skip
    async with httpx.AsyncClient(timeout=None) as client:  # noqa: S113  # whoever calls has a deadline
        try:
            asking = client.post(url + _PATH, content=body(), headers=headers)
            if ask.leaves is Leaves.WAITING:
                asking = asyncio.wait_for(asking, _LEAVES_AFTER_S)
            answer = await asking
        except (_GoneError, TimeoutError):
            return End(Fate.LEFT)
        except httpx.ConnectError:
            return End(Fate.UNREACHED)
        except httpx.HTTPError as fault:
            return End(Fate.BROKEN if whole else Fate.UNSENT, repr(fault))
    return _judged(ask, answer)


def _judged(ask: Ask, answer: httpx.Response) -> End:
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return End(Fate.REFUSED) if "retry-after" in answer.headers else End(Fate.WRONG_STATUS, "503 without Retry-After")
    if answer.status_code != httpx.codes.OK:
        fate = Fate.TOLD if answer.status_code == ask.told else Fate.WRONG_STATUS
        return End(fate, f"{answer.status_code}: {answer.text[:200]}")
    if ask.answer_format == "stream":
        return _judged_stream(ask, answer.text)
    return _judged_text(ask, answer.text.strip() if ask.answer_format == "text" else answer.json()["text"])


def _judged_stream(ask: Ask, body: str) -> End:
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line]
    if events and "error" in events[-1]:
        return End(Fate.REFUSED)
    if not events or events[-1].get("type") != "transcript.text.done":
        return End(Fate.BROKEN, "the stream ended before its last event")
    if (text := events[-1]["text"]) != "".join(event.get("delta", "") for event in events):
        return End(Fate.FOREIGN, "the deltas are not the text")
    return _judged_text(ask, text)


def _judged_text(ask: Ask, text: str) -> End:
    return End(Fate.RIGHT, "", text) if text == ask.says else End(Fate.FOREIGN, f"{ask.says!r} was said, {text!r} came", text)


async def _live(url: str, ask: Ask) -> End:
    heard: list[str] = []
    failed = False
    try:
        async with connect(f"{url.replace('http', 'ws', 1)}/ws?encoding=pcm_f32le", proxy=None) as socket:
            await socket.send(ask.body + bytes(_PAUSE_BYTES))
            await socket.send('{"type": "finish"}')
            async for frame in socket:
                message = json.loads(frame)
                heard += [message["text"]] if message.get("final") else []
                failed = failed or "error" in message
        code = socket.close_code or 0
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 0
    except (OSError, TimeoutError, WebSocketException) as fault:
        return End(Fate.UNREACHED, repr(fault))
    text = " ".join(one for one in heard if one)
    if text and not ask.says.startswith(text):
        return End(Fate.FOREIGN, f"{ask.says!r} was said, {text!r} came")
    if failed and code in {1000, *_CLOSED_POLITELY}:
        return End(Fate.REFUSED)
    if code == 1000 and text == ask.says:
        return End(Fate.RIGHT, "", text)
    return End(Fate.BROKEN, f"closed with {code} after {text!r} of {ask.says!r}")

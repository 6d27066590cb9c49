"""The client of live sessions: speaks at the pace of a microphone, and notes what it hears when. A child of the benchmark.

`python -m bench.live_client`
"""

import asyncio
import gc
import time
import wave
from collections.abc import Callable
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from .child import work

CLOSED_WELL: Final = 1000  # close codes of RFC 6455
_NO_CLOSE: Final = 1006  # the connection broke without a close frame
_SAMPLE_BYTES: Final = 2
_HEADSTART_S: Final = 0.2  # from when all are connected until the first speaks


class LiveJob(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions to hold at a time, one for each file, all of the same rate."""

    url: str
    files: list[str]  # WAV, mono, 16 bit
    chunk_s: float = 0.02
    pace: float = 1.0  # seconds of sound per second; at any but 1.0 no delay means anything
    patience_s: float = 30.0  # for the end of a session after its last sound


class SaidWord(msgspec.Struct, frozen=True):
    """One of a final message's words; seconds of the session."""

    word: str
    start: float
    end: float


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What `/ws` sends; fields that a message has not are at their defaults."""

    status: str = ""
    text: str = ""
    utterance: int = 0
    final: bool | None = None
    start: float = 0.0
    end: float = 0.0
    words: list[SaidWord] = []
    stable: str = ""
    tentative: str = ""
    error: Any = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message and when it came: seconds from when the microphone's first sample was spoken, on the real clock."""

    at_s: float
    message: Message


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """All that happened in one session."""

    heard: list[Heard] = []
    late_ms: list[float] = []  # of each chunk: how much later it was sent than a microphone would have
    closed: int = 0  # the server's close code; 0 where there was no connection
    failure: str = ""


class Spoke(msgspec.Struct, frozen=True, kw_only=True):
    """One log for each of the job's files; also the greeting, with none."""

    logs: list[Log] = []


class _Session:
    def __init__(self, job: LiveJob, path: str) -> None:
        self._job = job
        with wave.open(path, "rb") as file:
            self._pcm = file.readframes(file.getnframes())
            self._chunk_bytes = round(job.chunk_s * file.getframerate()) * _SAMPLE_BYTES
        self._socket: ClientConnection | None = None
        self._failure = ""
        self._heard: list[tuple[float, bytes]] = []
        self._late_ms: list[float] = []
        self._closed = 0

    async def open(self) -> None:
        try:
            self._socket = await connect(self._job.url, compression=None, ping_interval=None, proxy=None)
        except (OSError, TimeoutError, WebSocketException) as fault:
            self._failure = f"no connection: {fault}"

    async def stream(self, start_s: float) -> Log:
        """Speak from `start_s` on, and listen until the server closes."""
        if self._socket is not None:
            listening = asyncio.create_task(self._listen(self._socket, start_s))
            try:
                await self._speak(self._socket, start_s)
                async with asyncio.timeout(self._job.patience_s):
                    await listening
            except TimeoutError:
                self._failure = f"not closed {self._job.patience_s:g} s after the last sound"
            finally:
                listening.cancel()
            await self._socket.close()
        heard = [Heard(at_s=at_s, message=msgspec.json.decode(data, type=Message)) for at_s, data in self._heard]
        return Log(heard=heard, late_ms=self._late_ms, closed=self._closed, failure=self._failure)

    async def _speak(self, socket: ClientConnection, start_s: float) -> None:
        """Send every chunk when its last sample is spoken: a microphone has it no earlier."""
        try:
            for i, at in enumerate(range(0, len(self._pcm), self._chunk_bytes)):
                due_s = start_s + (i + 1) * self._job.chunk_s / self._job.pace
                await asyncio.sleep(due_s - time.monotonic())
                await socket.send(self._pcm[at : at + self._chunk_bytes])
                self._late_ms.append(1000 * (time.monotonic() - due_s))
            await socket.send('{"type":"finish"}')
        except ConnectionClosed:
            pass  # the listener hears why

    async def _listen(self, socket: ClientConnection, start_s: float) -> None:
        try:
            while True:
                data = await socket.recv(decode=False)
                self._heard.append((time.monotonic() - start_s, data))
        except ConnectionClosed as closed:
            self._closed = closed.rcvd.code if closed.rcvd else _NO_CLOSE


async def _speak_all(job: LiveJob) -> Spoke:
    sessions = [_Session(job, path) for path in job.files]
    await asyncio.gather(*(session.open() for session in sessions))
    start_s = time.monotonic() + _HEADSTART_S
    gc.collect()
    gc.disable()  # a collection would be a late send
    apart_s = job.chunk_s / len(sessions)  # microphones do not send in step
    try:
        return Spoke(logs=await asyncio.gather(*(session.stream(start_s + i * apart_s) for i, session in enumerate(sessions))))
    finally:
        gc.enable()


def _start() -> tuple[Spoke, Callable[[LiveJob], Spoke]]:
    return Spoke(), lambda job: asyncio.run(_speak_all(job))


if __name__ == "__main__":
    work(LiveJob, _start)

"""Do live sessions leave anything behind, at whatever moment their clients go? `just vanishing`

`python -m bench.vanishing` opens and leaves live sessions of both protocols at every moment of their lives, and compares what the
service's processes hold after the first of them with what they hold after all.
"""

import argparse
import asyncio
import base64
import json
import socket as sockets
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.domain.audio import Samples
from tests.recordings import recordings, resampled

from .child import BenchError
from .flags import console, guarded
from .service import RULER, SERVE
from .soak_facts import Facts, at_rest, told
from .victim import Victim

_AT_A_TIME: Final = 16
_PARTS: Final = 10  # into which the sessions are divided: after each, what is held is noted
_REALTIME_HZ: Final = 24_000
_PIECE_BYTES: Final = 9_600
_ANSWER_S: Final = 60.0
_MOST_LIVE: Final = 4_096  # which the setting allows
_RESET: Final = b"\1\0\0\0\0\0\0\0"  # of SO_LINGER: a reset instead of a farewell
_PATHS: Final = ("/ws?partials=0", "/ws?partials=1", "/v1/realtime?intent=transcription")
_HEAD: Final = "GET {path} HTTP/1.1\r\nhost: any\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
# When a client goes. At the first two no session has begun; `end asked` comes after all is said, and before any text.
_MOMENTS: Final = ("connected", "half a head", "open", "some", "more", "all said", "end asked", "first answer", "last answer")
_SHARES: Final = {"open": 0.0, "some": 0.2, "more": 0.7}
_ENDS: Final = ("reset", "end of stream", "close frame")


class Vanishing:
    """Clients that go, each at the next moment, over the next protocol, in the next way."""

    def __init__(self, url: str) -> None:
        """Prepare what is said."""
        self._where = urlsplit(url)
        spoken = recordings()[0].samples
        self._plain: list[str | bytes] = [*_pieces(_shorts(spoken)), '{"type": "finish"}']
        appended = (base64.b64encode(piece).decode() for piece in _pieces(_shorts(resampled(spoken, rate_hz=_REALTIME_HZ))))
        events = [{"type": "input_audio_buffer.append", "audio": audio} for audio in appended]
        self._realtime = [json.dumps(event) for event in (*events, {"type": "input_audio_buffer.commit"})]

    async def go(self, numbers: Iterable[int]) -> None:
        """Come and go, a few at a time; the numbers tell how."""
        waiting = iter(numbers)

        async def one_after_another() -> None:
            for i in waiting:
                moment, path, end = _MOMENTS[i % len(_MOMENTS)], _PATHS[i % 7 % len(_PATHS)], _ENDS[i % 5 % len(_ENDS)]
                if moment in _MOMENTS[:2]:
                    await self._knock(path, end, half=moment == "half a head")
                else:
                    await self._talk(path, moment, end)

        await asyncio.gather(*(one_after_another() for _ in range(_AT_A_TIME)))

    async def _knock(self, path: str, end: str, *, half: bool) -> None:
        _, writer = await asyncio.open_connection(self._where.hostname, self._where.port)
        writer.write(_HEAD.format(path=path).encode() if half else b"")
        _cut(writer.transport, end)

    async def _talk(self, path: str, moment: str, end: str) -> None:
        said: Sequence[str | bytes] = self._realtime if "realtime" in path else self._plain
        n_said = round(_SHARES[moment] * len(said)) if moment in _SHARES else len(said) - (moment == "all said")
        async with connect(f"ws://{self._where.netloc}{path}", proxy=None, ping_interval=None) as socket:
            for message in said[:n_said]:
                await socket.send(message)
            await _hear(socket, moment)
            if end != "close frame":
                _cut(socket.transport, end)


async def _hear(socket: ClientConnection, moment: str) -> None:
    """Read until the moment has come.

    Raises:
        BenchError: It does not come.
    """
    while "answer" in moment:
        try:
            message = json.loads(await asyncio.wait_for(socket.recv(), _ANSWER_S))
        except (TimeoutError, WebSocketException) as fault:
            raise BenchError(f"a session got no answer: {fault!r}") from fault
        is_text = bool(message.get("final")) or str(message.get("type")).endswith(".completed")
        if is_text or (moment == "first answer" and "session" not in message):
            return


def _cut(transport: asyncio.BaseTransport, end: str) -> None:
    if end == "reset" and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
    transport.close()


def _shorts(samples: Samples) -> bytes:
    return np.asarray(np.round(samples * 32_767), "<i2").tobytes()


def _pieces(sound: bytes) -> list[bytes]:
    return [sound[at : at + _PIECE_BYTES] for at in range(0, len(sound), _PIECE_BYTES)]


def vanished(victim: Victim, n_first: int, n: int) -> dict[int, Facts]:
    """Return what is held at rest after the first sessions, after all, and in between, by the number of sessions so far."""
    clients, held, done = Vanishing(victim.url), dict[int, Facts](), 0
    for until in [n_first, *(n_first + (n - n_first) * part // _PARTS for part in range(1, _PARTS + 1))]:
        asyncio.run(clients.go(range(done, until)))
        held[until], done = at_rest(victim), until
    return held


def main() -> int:
    """Run, print, and return 0 if nothing is left."""
    parser = argparse.ArgumentParser(
        prog="just vanishing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=2_000, help="How many come and go. Default: 2000.")
    parser.add_argument("--first", type=int, default=1_000, help="After how many of them what is held is looked at. Default: 1000.")
    parser.add_argument("--ruler", action="store_true", help="With the ruler as the model, which holds next to nothing itself.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(
            RULER if given.ruler else SERVE,
            {"STT_MODEL": "bundled", "STT_MAX_LIVE_SESSIONS": str(min(given.sessions, _MOST_LIVE))},
            uploads=Path(folder),
        )
        victim.start()
        try:
            victim.wait_until_ready()
            held = vanished(victim, given.first, given.sessions)
        finally:
            victim.close()
    failed = [f"the service logged {event['event']}" for event in victim.events if event.get("level") == "error"]
    looks, out = list(held.values()), console()
    out.print("Memory (PSS), MB: " + ", ".join(f"{facts.pss_mb:.0f} after {n:,}" for n, facts in held.items()), markup=False)
    return told(out, looks[0], looks[-1], looks, failed)


if __name__ == "__main__":
    sys.exit(guarded("vanishing", main))

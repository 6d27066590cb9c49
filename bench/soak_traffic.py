"""Everything that clients do, at once: files of every format, streams, live sessions of both protocols, nonsense, and leaving."""

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from app.domain.audio import Samples
from tests.recordings import FORMATS, concatenated, recordings, resampled

from .asking import Fate, tell
from .asks import Leaves, form

_PIECE_BYTES: Final = 9_600  # 0.3 s at 16 kHz
_PACE_S: Final = 0.1  # between two of them: three times as fast as speech
_PATIENCE_S: Final = 120.0
_REALTIME_HZ: Final = 24_000
_LONG_FILES: Final = 40  # recordings in one that is cut into windows
_ANSWERS: Final = ("json", "verbose_json", "text", "stream")
_BROKEN: Final = [b"", b"RIFF", bytes(5_000), b"#EXTM3U\nhttp://127.0.0.1/", b"ID3\x04" + bytes(100)]


class Traffic:
    """Clients of every kind, each busy until the time is over. `counts` has what came of all they did."""

    def __init__(self, url: str, *, seed: int) -> None:
        """Prepare what is sent."""
        self._url, self._seed = url, seed
        spoken = recordings()
        self._files = [kind.encode(spoken[i % len(spoken)].samples) for i, kind in enumerate(FORMATS.values())]
        many = [spoken[i % len(spoken)] for i in range(_LONG_FILES)]
        self._long = FORMATS["flac-flac-16000-mono"].encode(concatenated(many, gap_s=1.0))
        self._sounds = [concatenated(spoken[i : i + 2], gap_s=1.0) for i in range(0, len(spoken), 4)]
        self.counts: Counter[str] = Counter()

    async def run(self, *, seconds: float) -> None:
        """Be busy for so long, and then until the last one has ended."""
        until_s = time.monotonic() + seconds
        kinds: dict[Callable[[random.Random], Awaitable[None]], int] = {
            self._file: 4, self._long_file: 1, self._plain: 2, self._realtime: 2, self._nonsense: 1, self._leaving: 2,
        }  # fmt: skip
        self._seed += 1

        async def busy(kind: Callable[[random.Random], Awaitable[None]], chance: random.Random) -> None:
            while time.monotonic() < until_s:
                await kind(chance)

        clients = [(kind, random.Random(f"{self._seed} {kind.__name__} {i}")) for kind, n in kinds.items() for i in range(n)]
        await asyncio.gather(*(busy(kind, chance) for kind, chance in clients))

    async def _file(self, chance: random.Random) -> None:
        await self._send("file", chance.choice(self._files), chance)

    async def _long_file(self, chance: random.Random) -> None:
        await self._send("long file", self._long, chance)
        await asyncio.sleep(chance.uniform(1, 5))

    async def _nonsense(self, chance: random.Random) -> None:
        ask = form(0, "nonsense", "", chance.choice([*_BROKEN, chance.randbytes(20_000)]), told=400)
        self._count("nonsense", (await tell(self._url, ask)).fate, Fate.TOLD)
        await self._talk("nonsense live", "/ws?sample_rate=48000", ["{", b"\x00", '{"type":"commit"}', '{"type":"finish"}'])
        await asyncio.sleep(chance.uniform(0, 0.5))

    async def _leaving(self, chance: random.Random) -> None:
        leaves = chance.choice([Leaves.UPLOADING, Leaves.WAITING])
        ask = form(0, "leaving", "", chance.choice([*self._files, self._long]), leaves=leaves)
        await tell(self._url, ask)
        with suppress(OSError, WebSocketException):
            async with self._open("/ws?partials=1") as socket:
                await socket.send(_shorts(chance.choice(self._sounds))[: chance.randrange(2, 200_000)])
                await asyncio.sleep(chance.uniform(0, 0.3))
                socket.transport.abort()
        self.counts["left"] += 1

    async def _plain(self, chance: random.Random) -> None:
        sound = _shorts(chance.choice(self._sounds))
        await self._talk("/ws", "/ws?partials=1&words=1", [*_pieces(sound), '{"type":"finish"}'], pace_s=_PACE_S)

    async def _realtime(self, chance: random.Random) -> None:
        sound = _shorts(resampled(chance.choice(self._sounds), rate_hz=_REALTIME_HZ))
        append = ({"type": "input_audio_buffer.append", "audio": base64.b64encode(piece).decode()} for piece in _pieces(sound))
        events = [json.dumps(event) for event in (*append, {"type": "input_audio_buffer.commit"})]
        await self._talk("/v1/realtime", "/v1/realtime?intent=transcription", events, pace_s=_PACE_S, ends=_is_completed)

    async def _send(self, name: str, data: bytes, chance: random.Random) -> None:
        answer_format = chance.choice(_ANSWERS)
        told = await tell(self._url, form(0, name, "", data, answer_format=answer_format))
        fate = Fate.RIGHT if told.fate is Fate.FOREIGN and told.heard else told.fate  # what it says is not asked here
        self._count(name, fate, Fate.RIGHT)

    async def _talk(
        self,
        name: str,
        path: str,
        messages: Sequence[str | bytes],
        *,
        pace_s: float = 0.0,
        ends: Callable[[dict[str, Any]], bool] = lambda _message: False,
    ) -> None:
        """Send messages, and read until the service closes or a message `ends` it."""
        end = "nothing"
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_PATIENCE_S), self._open(path) as socket:
                sending = asyncio.create_task(_sent(socket, messages, pace_s))
                async for frame in socket:
                    end = json.loads(frame).get("error", {}).get("code", end)
                    if ends(json.loads(frame)):
                        break
                await sending
            end = str(socket.close_code)
        self._count(name, end, "1000")

    def _count(self, name: str, fate: str, wanted: str) -> None:
        self.counts[name if fate == wanted else f"{name}: {fate}"] += 1

    def _open(self, path: str) -> connect:
        """Open a session; without pings, whose answers wait where sound comes faster than it can be heard."""
        return connect(f"{self._url.replace('http', 'ws', 1)}{path}", proxy=None, ping_interval=None)


async def _sent(socket: ClientConnection, messages: Sequence[str | bytes], pace_s: float) -> None:
    with suppress(ConnectionClosed):  # whoever reads is told so
        for message in messages:
            await socket.send(message)
            await asyncio.sleep(pace_s)


def _is_completed(event: dict[str, Any]) -> bool:
    return str(event["type"]).endswith((".completed", ".failed"))


def _shorts(samples: Samples) -> bytes:
    return np.asarray(np.round(samples * 32_767), "<i2").tobytes()


def _pieces(sound: bytes) -> list[bytes]:
    return [sound[at : at + _PIECE_BYTES] for at in range(0, len(sound), _PIECE_BYTES)]

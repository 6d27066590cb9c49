"""Where `listen` gets its sound: a microphone, a file at the pace of speech, standard input. One channel of 16-bit samples."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

import numpy as np

from ...domain.audio import MODEL_RATE_HZ
from ...domain.errors import SpeechError
from ...domain.ports import AudioNormalizer, DecodeLimits
from .sources import STDIN, UsageError

_PIECE_S: Final = 0.05  # of sound at a time; chosen: a caption is no later for it than the eye can see
_HIGHEST_HZ: Final = 48_000  # that `/ws` takes
_PIPE_BYTES: Final = 3_200
_PIPE_PIECES: Final = 16  # read ahead of a session that is busy
_NO_EXTRA: Final = "a microphone needs the extra `mic`: pip install 'parakeet-stt[mic]'"
_NO_PORTAUDIO: Final = (
    "a microphone needs PortAudio, which is not on this system: `apt-get install libportaudio2` (Debian, Ubuntu) or"
    " `dnf install portaudio` (Fedora)"
)


class Capture(Protocol):
    """Sound as it comes."""

    name: str  # as the user knows it
    rate_hz: int

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield signed 16-bit little-endian samples until there are no more."""

    def stop(self) -> None:
        """Have `pieces` end after what has come until now; called on the event loop."""


class _Queued:
    """What comes on another thread, in order; an empty piece is its end."""

    def __init__(self, most_pieces: int = 0) -> None:
        self._heard: asyncio.Queue[bytes] = asyncio.Queue(most_pieces)
        self._ending: asyncio.Task[None] | None = None

    def stop(self) -> None:
        self._ending = asyncio.create_task(self._heard.put(b""))


class Microphone(_Queued):
    """The system's input device, or one that is named."""

    def __init__(self, named: str | None) -> None:
        """Find it.

        Args:
            named: Its number, or a part of its name that no other has; None: the default one.

        Raises:
            SpeechError: There is none, or what it takes to hear it is missing; the text says what to do.
        """
        super().__init__()
        self._sounddevice = _sounddevice()
        self._device = int(named) if named and named.isdecimal() else named
        try:
            found: Any = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as fault:
            wanted = f" {named}" if named else ""
            raise SpeechError(f"there is no microphone{wanted}: {fault}; `python -m sounddevice` lists them") from fault
        self.name, self.rate_hz = f"the microphone {found['name']}", min(round(found["default_samplerate"]), _HIGHEST_HZ)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()

        def put(piece: bytes) -> None:  # called on PortAudio's thread
            loop.call_soon_threadsafe(self._heard.put_nowait, piece)

        try:
            with self._sounddevice.RawInputStream(
                samplerate=self.rate_hz, channels=1, dtype="int16", device=self._device, blocksize=round(self.rate_hz * _PIECE_S),
                callback=lambda data, *_: put(bytes(data)), finished_callback=lambda: put(b""),
            ):  # fmt: skip
                while piece := await self._heard.get():
                    yield piece
        except self._sounddevice.PortAudioError as fault:
            raise SpeechError(f"{self.name} cannot be heard: {fault}") from fault


class Pipe(_Queued):
    """Raw samples from standard input, as fast as they come."""

    name = "standard input"

    def __init__(self, rate_hz: int) -> None:
        super().__init__(_PIPE_PIECES)
        self.rate_hz = rate_hz

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()

        def read() -> None:
            data = b"-"
            while data and not loop.is_closed():
                data = os.read(sys.stdin.fileno(), _PIPE_BYTES)
                with suppress(CancelledError):  # nobody takes it any more
                    asyncio.run_coroutine_threadsafe(self._heard.put(data), loop).result()

        # A thread that may stay where it is when the program ends: nothing takes back a read that waits.
        threading.Thread(target=read, name="stdin", daemon=True).start()
        while piece := await self._heard.get():
            yield piece


class Recording:
    """A file, played as it was spoken."""

    rate_hz = MODEL_RATE_HZ

    def __init__(self, path: Path, normalizer: AudioNormalizer, limits: DecodeLimits) -> None:
        """Decode its beginning, so that a file that is none is refused before a model is loaded.

        Raises:
            AudioRejectedError: Nothing in it can be decoded.
            OSError: It cannot be read.
        """
        self.name, self._path, self._normalizer, self._limits = str(path), path, normalizer, limits
        self._stopped = False
        with path.open("rb") as file:
            next(self._normalizer.blocks(file, limits=limits), None)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        begun_s, n_sent, step = monotonic(), 0, round(_PIECE_S * MODEL_RATE_HZ)
        with self._path.open("rb") as file:
            blocks = self._normalizer.blocks(file, limits=self._limits)
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                for at in range(0, block.samples.size, step):
                    piece = block.samples[at : at + step]
                    n_sent += piece.size
                    await asyncio.sleep(begun_s + n_sent / MODEL_RATE_HZ - monotonic())  # until its last sample is spoken
                    if self._stopped:
                        return
                    yield np.round(piece.clip(-1.0, 1.0) * 32_767).astype("<i2").tobytes()

    def stop(self) -> None:
        self._stopped = True


def capture_of(
    given: str | None, *, microphone: str | None, rate_hz: int, normalizer: Callable[[], AudioNormalizer], max_s: float
) -> Capture:
    """Return what was chosen: `-`, a file, or where nothing is given a microphone.

    Args:
        rate_hz: Of what comes through a pipe.
        normalizer: Asked for where a file is to be decoded.
        max_s: Longest file.

    Raises:
        UsageError: There is no such file, or `rate_hz` is none that can be heard.
        SpeechError: It cannot be heard.
    """
    if given is None:
        return Microphone(microphone)
    if given == STDIN:
        if not 8_000 <= rate_hz <= _HIGHEST_HZ:
            raise UsageError(f"--rate must be from 8000 to {_HIGHEST_HZ}")
        return Pipe(rate_hz)
    if (path := Path(given)).exists() and not path.is_file():
        raise UsageError(f"{given} is no file; raw samples of a pipe are heard as `-`")
    try:
        return Recording(path, normalizer(), DecodeLimits(max_duration_s=max_s))
    except OSError as fault:
        raise UsageError(f"{given}: {fault.strerror}") from fault


def _sounddevice() -> Any:
    """Return the library that hears microphones.

    Raises:
        SpeechError: It, or the PortAudio that it stands on, is not installed; the text says how to get it.
    """
    try:
        import sounddevice as library
    except ImportError as missing:
        raise SpeechError(_NO_EXTRA) from missing
    except OSError as missing:  # what it raises where its own library lacks PortAudio
        raise SpeechError(_NO_PORTAUDIO) from missing
    return library

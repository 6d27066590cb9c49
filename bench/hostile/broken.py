"""Files that are short, cut, damaged, or have something else before or behind them."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from app.domain.audio import MODEL_RATE_HZ

from .case import NO_AUDIO, OK, SENTENCE, SILENT, TOO_SHORT, Case, Told, upload
from .sounds import KINDS, encoded, fmt, riff, sentence, shorts, wav

_ALL: Final = (*KINDS, "aac", "aiff", "vorbis")
_LOST_BY_BITS: Final = frozenset({"opus", "vorbis", "m4a"})  # Ogg has checksums, and an index in pieces leads nowhere
_INDEX_LAST: Final = frozenset({"m4a"})  # without its end nobody can find the sound


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _short()
    for kind in _ALL:
        yield from _cut(kind)
        yield from _damaged(kind)


def _short() -> Iterator[Case]:
    yield upload("empty", bytes, NO_AUDIO)
    for n_bytes in (1, 2, 3, 4, 11, 12, 43):
        yield upload(f"{n_bytes} bytes of wav", partial(_first, "wav", n_bytes), NO_AUDIO)
    yield upload("wav: head alone, which claims sound", partial(_first, "wav", 44), NO_AUDIO)
    for n_samples in (0, 1, 2, 1_599):
        told = NO_AUDIO if n_samples == 0 else TOO_SHORT
        yield upload(f"wav: {n_samples} samples", partial(wav, bytes(2 * n_samples)), told)
    yield upload("wav: 0.1 s, the least there may be", partial(wav, bytes(3_200)), SILENT)
    yield upload("wav: odd number of bytes", lambda: wav(shorts(sentence())[:-1]), SENTENCE)
    yield upload("wav: half a sample", partial(wav, b"\1"), NO_AUDIO)
    yield upload("wav: no chunk of sound", lambda: riff(fmt()), NO_AUDIO)
    yield upload("wav: no chunk at all", riff, NO_AUDIO)
    for n_bytes in (64, 4_096, 65_536):
        yield upload(f"{n_bytes} random bytes", partial(random.Random(n_bytes).randbytes, n_bytes), NO_AUDIO)
    for value in (0x00, 0x41, 0xFF):
        yield upload(f"100,000 times {value:#04x}", partial(bytes([value]).__mul__, 100_000), NO_AUDIO)
    yield upload("silence of 3 s", partial(wav, bytes(96_000)), SILENT)
    dither = np.random.default_rng(3).integers(-1, 2, 3 * MODEL_RATE_HZ).astype("<i2")
    yield upload("dithered silence of 3 s", partial(wav, dither.tobytes()), SILENT)


def _cut(kind: str) -> Iterator[Case]:
    whole = partial(encoded, kind)
    yield upload(f"{kind}: whole", whole, SENTENCE)
    yield upload(f"{kind}: 16 bytes", partial(_first, kind, 16), NO_AUDIO)
    yield upload(f"{kind}: the first half", partial(_share, kind, 0.5), NO_AUDIO if kind in _INDEX_LAST else OK)
    yield upload(f"{kind}: all but a byte", lambda: whole()[:-1], SENTENCE)
    yield upload(f"{kind}: the second half", lambda: whole()[len(whole()) // 2 :], *_found_within(kind))


def _damaged(kind: str) -> Iterator[Case]:
    yield upload(f"{kind}: 1,000 bytes of zeros in the middle", partial(_overwritten, kind, bytes(1_000)), OK)
    yield upload(f"{kind}: 200 random bytes in the middle", partial(_overwritten, kind, random.Random(1).randbytes(200)), OK)
    yield upload(f"{kind}: every 500th bit turned", partial(_turned, kind), NO_AUDIO if kind in _LOST_BY_BITS else OK)
    yield upload(f"{kind}: 10,000 random bytes behind", lambda: encoded(kind) + random.Random(2).randbytes(10_000), SENTENCE)
    yield upload(f"{kind}: twice", lambda: encoded(kind) * 2, OK)
    yield upload(f"{kind}: garbage before", lambda: b"garbage " * 20 + encoded(kind), *_found_within(kind))


def _found_within(kind: str) -> tuple[Told, ...]:
    """Only MPEG audio is looked for behind what is none, as a broadcast may be recorded from anywhere."""
    return (OK,) if kind == "mp3" else (NO_AUDIO,)


def _first(kind: str, n_bytes: int) -> bytes:
    return encoded(kind)[:n_bytes]


def _share(kind: str, share: float) -> bytes:
    return _first(kind, round(share * len(encoded(kind))))


def _overwritten(kind: str, new: bytes) -> bytes:
    data = encoded(kind)
    at = len(data) // 2
    return data[:at] + new + data[at + len(new) :]


def _turned(kind: str) -> bytes:
    data = bytearray(encoded(kind))
    for bit in range(4_000, 8 * len(data), 500):
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)

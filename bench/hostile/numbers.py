"""Samples that are no sound: numbers that are none, that are too large, or that sit at an edge; and rates nobody expects."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from app.domain.audio import MODEL_RATE_HZ

from .case import OK, SENTENCE, SILENT, Case, upload
from .sounds import A_LAW, aiff, at_rate, floats, sentence, shorts, wav

_N: int = 3 * MODEL_RATE_HZ
_MU_LAW = 7


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _floats()
    yield from _integers()
    yield from _rates()


def _floats() -> Iterator[Case]:
    for name, value in {"NaN": np.nan, "Inf": np.inf, "-Inf": -np.inf}.items():
        for double in (False, True):
            width = "doubles" if double else "floats"
            yield upload(f"{width}: nothing but {name}", partial(floats, np.full(_N, value), double=double), SILENT)
            yield upload(f"{width}: the sentence with {name} in it", partial(_spoiled, value, double=double), SENTENCE)
    yield upload("floats: NaN that signals", lambda: wav(b"\1\0\xa0\x7f" * _N, tag=3, bits=32), SILENT)
    for name, value in {"1e38": 1e38, "-1e38": -1e38, "1000": 1e3, "the smallest": 1e-45, "below 16 bits": 1e-6}.items():
        yield upload(f"floats: nothing but {name}", partial(floats, np.full(_N, value)), OK if abs(value) > 1 else SILENT)
    yield upload("doubles: nothing but 1e308", partial(floats, np.full(_N, 1e308), double=True), OK)
    yield upload("doubles: nothing but 5e-324", partial(floats, np.full(_N, 5e-324), double=True), SILENT)
    yield upload("floats: 1e38 and -1e38 in turns", lambda: floats(np.tile([1e38, -1e38], _N // 2)), OK)
    yield upload("floats: the sentence 10,000 times too loud", lambda: floats(sentence() * 1e4), OK)
    yield upload("floats: the sentence at 8 times full scale", lambda: floats(sentence() * 8), OK)
    yield upload("floats: the sentence with denormals in its pauses", lambda: floats(sentence() + 1e-40), SENTENCE)
    yield upload("floats: the sentence with 1e38 in it", partial(_spoiled, 1e38, double=False), OK)
    yield upload("floats: random bits", lambda: wav(np.random.default_rng(5).bytes(4 * _N), tag=3, bits=32), OK)
    yield upload("aiff: big-endian NaN", lambda: aiff(b"\x7f\xc0\0\0" * _N, bits=32, compression=b"fl32"), SILENT)


def _integers() -> Iterator[Case]:
    for name, samples in {
        "full scale, above": np.full(_N, 1.0), "full scale, below": np.full(_N, -1.0), "a constant 0.5": np.full(_N, 0.5),
        "a square at full scale": np.sign(np.sin(np.arange(_N) / 20)), "both ends in turns": np.tile([1.0, -1.0], _N // 2),
        "one click": np.eye(1, _N, _N // 2)[0], "white noise at full scale": np.random.default_rng(6).uniform(-1, 1, _N),
        "a tone of 20 Hz": np.sin(np.arange(_N) * 2 * np.pi * 20 / MODEL_RATE_HZ),
        "a tone of 7,990 Hz": np.sin(np.arange(_N) * 2 * np.pi * 7_990 / MODEL_RATE_HZ),
    }.items():  # fmt: skip
        yield upload(name, partial(wav, shorts(samples)), OK)
    yield upload("one step of 16 bits", partial(wav, shorts(np.full(_N, 1 / 32_767))), SILENT)
    yield upload("-32768 throughout", lambda: wav(b"\0\x80" * _N), OK)
    for bits, low in ((8, b"\0"), (24, b"\0\0\x80"), (32, b"\0\0\0\x80")):
        yield upload(f"the lowest number of {bits} bits throughout", partial(wav, low * _N, bits=bits), OK)
    for name, tag, code in (("A-law", A_LAW, b"\x2a"), ("mu-law", _MU_LAW, b"\0")):
        yield upload(f"{name}: its lowest number throughout", partial(wav, code * _N, tag=tag, bits=8), OK)


def _rates() -> Iterator[Case]:
    for rate_hz in (8_000, 11_025, 44_099, 44_101, 47_999, 96_000, 191_999, 192_000):
        yield upload(f"the sentence at {rate_hz} Hz", partial(at_rate, rate_hz), SENTENCE)
    yield upload("1,000 Hz", lambda: wav(bytes(10_000), rate_hz=1_000), SILENT)
    yield upload("1,000 Hz, claimed of the sentence", partial(wav, rate_hz=1_000), OK)
    yield upload("192,000 Hz, claimed of the sentence", partial(wav, rate_hz=192_000), OK)
    yield upload("8 channels, of which one speaks", lambda: _beside(8), OK)
    yield upload("two channels that cancel each other", _cancelling, SILENT)
    yield upload("a channel of NaN beside the sentence", _half_nan, SENTENCE)


def _spoiled(value: float, *, double: bool) -> bytes:
    samples = sentence().astype(np.float64)
    samples[::4_001] = value
    return floats(samples, double=double)


def _beside(channels: int) -> bytes:
    sides = np.zeros((sentence().size, channels), np.float32)
    sides[:, 0] = sentence()
    return wav(shorts(sides), channels=channels)


def _cancelling() -> bytes:
    ints = np.round(sentence() * 32_767).astype("<i2")
    return wav(np.stack([ints, -ints], axis=1).tobytes(), channels=2)


def _half_nan() -> bytes:
    sides = np.stack([sentence(), np.full(sentence().size, np.nan, np.float32)], axis=1)
    return wav(sides.astype("<f4").tobytes(), tag=3, channels=2, bits=32)

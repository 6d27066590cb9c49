"""Files of every kind, right in all but what a case wants wrong."""

import io
import math
import struct
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from app.domain.audio import MODEL_RATE_HZ, Samples
from tests.recordings import FORMATS, encode, recordings, resampled

PCM, ADPCM_MS, FLOAT, A_LAW, ADPCM_IMA, GSM, MPEG, EXTENSIBLE = 1, 2, 3, 6, 0x11, 0x31, 0x50, 0xFFFE  # format tags of WAV
UNKNOWN: Final = 0xFFFFFFFF  # as a size
KINDS: Final = {  # one of each container and codec, under short names
    "wav": "wav-pcm_s16le-16000-mono", "wav of floats": "wav-pcm_f32le-24000-mono", "flac": "flac-flac-16000-mono",
    "mp3": "mp3-libmp3lame-16000-mono", "opus": "ogg-libopus-48000-mono", "m4a": "m4a-aac-16000-mono",
    "webm": "webm-libopus-48000-mono",
}  # fmt: skip
Build = Callable[[], bytes]


@cache
def sentence() -> Samples:
    """Return what is said in every file that says something: float32, at the model's rate.

    It is the recording that the bundled model hears alike in every format and at every rate; most others it does not.
    """
    return next(one.samples for one in recordings() if one.name == "17")


def shorts(samples: NDArray[np.floating[Any]]) -> bytes:
    """Return samples as 16-bit little-endian."""
    return np.asarray(np.round(samples.clip(-1, 1) * 32_767), "<i2").tobytes()


@cache
def encoded(kind: str) -> bytes:
    """Return the sentence in one of `KINDS`, or as `aac` or `aiff`, which those lack."""
    if kind == "aac":
        return encode(sentence(), container="adts", codec="aac", rate_hz=16_000, channels=1)
    if kind == "aiff":
        return encode(sentence(), container="aiff", codec="pcm_s16be", rate_hz=16_000, channels=1)
    if kind == "vorbis":
        return _vorbis()
    return FORMATS[KINDS[kind]].encode(sentence())


def _vorbis() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="ogg", container_options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("vorbis", rate=16_000, options={"strict": "-2"})  # FFmpeg calls its own experimental
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.tile(sentence(), (2, 1)), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 16_000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def chunk(name: bytes, body: bytes, *, size: int | None = None) -> bytes:
    """Return a chunk of RIFF; `size` is what it says of itself."""
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) & 1)


def riff(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None, form: bytes = b"WAVE") -> bytes:
    """Return a file of chunks."""
    body = form + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def fmt(
    *, tag: int = PCM, channels: int = 1, rate_hz: int = MODEL_RATE_HZ, bits: int = 16, align: int | None = None, more: bytes = b""
) -> bytes:
    """Return the chunk that says what a WAV file holds."""
    block = channels * bits // 8 if align is None else align
    head = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block & UNKNOWN, block & 0xFFFF, bits)
    return chunk(b"fmt ", head + more)


def wav(data: bytes | None = None, *, size: int | None = None, kind: bytes = b"RIFF", before: bytes = b"", **lies: int) -> bytes:
    """Return WAV with the sentence, or with `data`, whose chunk claims `size`; `lies` are those of `fmt`."""
    held = shorts(sentence()) if data is None else data
    return riff(before, fmt(**lies), chunk(b"data", held, size=size), kind=kind, size=None if size is None else UNKNOWN)  # type: ignore[arg-type]


def floats(samples: NDArray[np.floating[Any]], *, rate_hz: int = MODEL_RATE_HZ, double: bool = False) -> bytes:
    """Return WAV of floating-point samples."""
    data = np.asarray(samples, "<f8" if double else "<f4").tobytes()
    return wav(data, tag=FLOAT, bits=64 if double else 32, rate_hz=rate_hz)


def aiff(
    data: bytes | None = None, *, channels: int = 1, frames: int | None = None, bits: int = 16, rate: bytes | None = None,
    offset: int = 0, compression: bytes = b"",
) -> bytes:  # fmt: skip
    """Return AIFF, or AIFF-C where a compression is named; `rate` is the ten bytes of its rate."""
    held = np.asarray(np.round(sentence() * 32_767), ">i2").tobytes() if data is None else data
    n_frames = len(held) * 8 // max(1, channels * bits) if frames is None else frames
    told = struct.pack(">hIh", channels, n_frames & UNKNOWN, bits) + (extended(MODEL_RATE_HZ) if rate is None else rate)
    common = told + (compression + b"\0\0" if compression else b"")
    chunks = [(b"COMM", common), (b"SSND", struct.pack(">II", offset, 0) + held)]
    body = b"".join(name + struct.pack(">I", len(one)) + one + b"\0" * (len(one) & 1) for name, one in chunks)
    return b"FORM" + struct.pack(">I", len(body) + 4) + (b"AIFC" if compression else b"AIFF") + body


def extended(value: float) -> bytes:
    """Return a number in the 80 bits that AIFF writes rates in."""
    mantissa, exponent = math.frexp(value)
    return struct.pack(">HQ", 16_382 + exponent, int(mantissa * 2**64))


def flac_head(*, rate_hz: int, channels: int, bits: int, least_block: int = 4_096, n_samples: int = 0) -> bytes:
    """Return the first block of FLAC, in the place of the one that `encoded` wrote."""
    told = rate_hz << 44 | (channels - 1 & 7) << 41 | (bits - 1 & 31) << 36 | n_samples
    return b"fLaC\0\0\0\x22" + struct.pack(">HH", least_block, 4_096) + bytes(6) + told.to_bytes(8, "big") + bytes(16)


def flac_saying(**lies: int) -> bytes:
    """Return the sentence as FLAC under another head."""
    told = {"rate_hz": MODEL_RATE_HZ, "channels": 1, "bits": 16, **lies}
    return flac_head(**told) + encoded("flac")[42:]


def patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """Return a file with other bytes at an offset from where `mark` first stands."""
    at = data.index(mark) + offset
    return data[:at] + new + data[at + len(new) :]


def box(kind: bytes, *bodies: bytes, size: int | None = None) -> bytes:
    """Return a box of MP4; `size` is what it says of itself."""
    body = b"".join(bodies)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def at_rate(rate_hz: int) -> bytes:
    """Return the sentence as WAV at another rate."""
    return wav(shorts(resampled(sentence(), rate_hz=rate_hz)), rate_hz=rate_hz)


def silence(duration_s: float) -> Build:
    """Return what builds WAV with digital silence."""
    return partial(wav, bytes(2 * round(duration_s * MODEL_RATE_HZ)))

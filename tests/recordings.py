"""What the tests have said to the service: twenty-four read sentences, any file format made from them, and the words scored."""

import io
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, cast

import av
import jiwer
import msgspec
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from scipy.signal import resample_poly

from app.domain.audio import MODEL_RATE_HZ, Clip, Samples

_DATA: Final = Path(__file__).parent / "data"
_CHUNK_SAMPLES: Final = 16_384
MOST_ERRORS: Final = 0.52  # word error rate that the bundled model may have over all recordings; 0.45 measured


class Recording(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One sentence as one voice of `training.voices` read it: float32, shape (n_samples,), at `MODEL_RATE_HZ`."""

    name: str
    text: str
    voice: str
    samples: Samples

    @property
    def clip(self) -> Clip:
        return Clip(self.samples)

    @property
    def duration_s(self) -> float:
        return self.samples.size / MODEL_RATE_HZ


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of file; `container` and `codec` are FFmpeg's names, `sample_format` None where the codec has one of its own."""

    name: str
    extension: str
    container: str
    codec: str
    rate_hz: int
    channels: int
    sample_format: str | None = None

    def encode(self, samples: Samples, *, right_silent: bool = False) -> bytes:
        """Make such a file of mono samples at `MODEL_RATE_HZ`."""
        return encode(
            samples, container=self.container, codec=self.codec, rate_hz=self.rate_hz, channels=self.channels,
            sample_format=self.sample_format, right_silent=right_silent,
        )  # fmt: skip


def _format(extension: str, container: str, codec: str, rate_hz: int, channels: int, *, sample_format: str | None = None) -> Format:
    name = f"{extension}-{codec}-{rate_hz}-{'mono' if channels == 1 else 'stereo'}"
    return Format(
        name=name, extension=extension, container=container, codec=codec, rate_hz=rate_hz, channels=channels,
        sample_format=sample_format,
    )  # fmt: skip


FORMATS: Final[dict[str, Format]] = {  # every kind the product accepts, under a name fit for a test's id
    found.name: found
    for found in (
        _format("wav", "wav", "pcm_u8", 8_000, 1),
        _format("wav", "wav", "pcm_s16le", 16_000, 1),
        _format("wav", "wav", "pcm_s16le", 44_100, 2),
        _format("wav", "wav", "pcm_s24le", 48_000, 2),
        _format("wav", "wav", "pcm_s32le", 22_050, 1),
        _format("wav", "wav", "pcm_f32le", 24_000, 1),
        _format("wav", "wav", "pcm_f64le", 32_000, 2),
        _format("flac", "flac", "flac", 16_000, 1, sample_format="s16"),
        _format("flac", "flac", "flac", 48_000, 2, sample_format="s32"),
        _format("mp3", "mp3", "libmp3lame", 16_000, 1),
        _format("mp3", "mp3", "libmp3lame", 44_100, 2),
        _format("ogg", "ogg", "libopus", 48_000, 1),
        _format("ogg", "ogg", "libopus", 24_000, 2),
        _format("m4a", "ipod", "aac", 44_100, 2),
        _format("m4a", "ipod", "aac", 16_000, 1),
        _format("mp4", "mp4", "aac", 48_000, 2),
        _format("webm", "webm", "libopus", 48_000, 1),
        _format("webm", "webm", "libopus", 48_000, 2),
    )
}


class _Entry(msgspec.Struct, frozen=True):
    name: str
    text: str
    voice: str


@cache
def _all_recordings() -> tuple[Recording, ...]:
    entries = msgspec.json.decode((_DATA / "index.json").read_bytes(), type=list[_Entry])
    return tuple(
        Recording(name=entry.name, text=entry.text, voice=entry.voice, samples=decoded((_DATA / f"{entry.name}.flac").read_bytes()))
        for entry in entries
    )


def recordings() -> list[Recording]:
    """All recordings in the order of their names; decoded once, the list is the caller's own."""
    return list(_all_recordings())


def decoded(data: bytes) -> Samples:
    """Decode 16 kHz mono files of 16-bit samples, and nothing else: float32, shape (n_samples,), within [-1.0, 1.0)."""
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.audio[0]
        if (stream.rate, stream.channels, stream.format.name) != (MODEL_RATE_HZ, 1, "s16"):
            raise ValueError(f"not 16 kHz mono s16: {stream.rate} Hz, {stream.channels} channels, {stream.format.name}")
        pieces = [frame.to_ndarray().reshape(-1) for frame in file.decode(stream)]
    return np.concatenate(pieces).astype(np.float32) * np.float32(2**-15)


def resampled(samples: Samples, *, rate_hz: int) -> Samples:
    """Bring samples at `MODEL_RATE_HZ` to another rate: float32, shape (ceil(n_samples * rate_hz / MODEL_RATE_HZ),)."""
    if rate_hz == MODEL_RATE_HZ:
        return samples
    shared = math.gcd(rate_hz, MODEL_RATE_HZ)
    found = resample_poly(samples, rate_hz // shared, MODEL_RATE_HZ // shared)
    return cast("Samples", np.asarray(found, np.float32))


def encode(
    samples: Samples, *, container: str, codec: str, rate_hz: int, channels: int, sample_format: str | None = None,
    right_silent: bool = False,
) -> bytes:  # fmt: skip
    """Make a file in memory.

    Args:
        samples: float32, shape (n_samples,), at `MODEL_RATE_HZ`, within [-1.0, 1.0].
        container: FFmpeg's name of the muxer: wav, flac, mp3, ogg, ipod (for .m4a), mp4, webm.
        codec: FFmpeg's name of the encoder: pcm_s16le, flac, libmp3lame, libopus, aac.
        channels: 1, or 2: the same on both sides unless `right_silent`.
        sample_format: What the encoder is given (s16 or s32 for flac); None for its own first choice.
    """
    heard = resampled(samples, rate_hz=rate_hz)
    sides = np.tile(heard, (channels, 1))
    if right_silent:
        sides[1:] = 0
    out = io.BytesIO()
    with av.open(out, "w", format=container, container_options={"fflags": "+bitexact"}) as file:
        stream = cast("AudioStream", file.add_stream(codec, rate=rate_hz))
        stream.layout = "mono" if channels == 1 else "stereo"
        if sample_format is not None:
            stream.format = sample_format
        for at in range(0, heard.size, _CHUNK_SAMPLES):
            planes = np.ascontiguousarray(sides[:, at : at + _CHUNK_SAMPLES])
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=stream.layout.name)
            frame.sample_rate, frame.pts = rate_hz, at
            file.mux(stream.encode(frame))  # the encoder converts to its own sample format and frame size
        file.mux(stream.encode(None))
    return out.getvalue()


def concatenated(said: Iterable[Recording], gap_s: float) -> Samples:
    """Join recordings with digital silence between them: float32, shape (n_samples,), at `MODEL_RATE_HZ`."""
    gap: NDArray[np.float32] = np.zeros(round(gap_s * MODEL_RATE_HZ), np.float32)
    pieces: list[Samples] = []
    for recording in said:
        pieces += [gap, recording.samples] if pieces else [recording.samples]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Errors per word of the reference, 0.0 where both are the same but for case and punctuation; it may pass 1.0."""
    expected, found = _bare(reference), _bare(hypothesis)
    if not expected:
        return float(len(found.split()))
    return float(jiwer.wer(expected, found))


def _bare(text: str) -> str:
    kept = "".join(character for character in text.lower() if character.isalnum() or character.isspace())
    return " ".join(kept.split())

"""Raw sound as it comes over a wire: encodings without a header, in pieces that end anywhere."""

from typing import Final, Literal

import numpy as np

from .audio import Samples

Encoding = Literal["pcm_s16le", "pcm_f32le", "g711_ulaw", "g711_alaw"]

SAMPLE_BYTES: Final[dict[Encoding, int]] = {"pcm_s16le": 2, "pcm_f32le": 4, "g711_ulaw": 1, "g711_alaw": 1}
_STEP: Final = np.float32(
    2**-15
)  # FFmpeg's factor for 16-bit samples (libswresample/audioconvert.c), so that live audio and files agree


def _ulaw() -> Samples:
    """Return the sample of each mu-law byte. Source: ITU-T G.711, table 2; the bias of 132 is 33 of 14 bits in 16."""
    codes = ~np.arange(256, dtype=np.uint8)
    magnitude = ((((codes & 0x0F).astype(np.int32) << 3) + 132) << ((codes >> 4) & 7)) - 132
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.float32) * _STEP


def _alaw() -> Samples:
    """Return the sample of each A-law byte. Source: ITU-T G.711, table 1; every other bit of a byte is inverted."""
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((codes >> 4) & 7).astype(np.int32), (codes & 0x0F).astype(np.int32) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(codes & 0x80, magnitude, -magnitude).astype(np.float32) * _STEP


_TABLES: Final[dict[Encoding, Samples]] = {"g711_ulaw": _ulaw(), "g711_alaw": _alaw()}


class PcmReader:
    """Reads one stream of one channel; what ends within a sample is finished by the next piece."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding: Encoding = encoding
        self._rest = b""

    def push(self, data: bytes) -> Samples:
        """Return the samples that `data`, of any length, completes.

        Returns:
            float32, shape (n_samples,), within [-1.0, 1.0]; floats beyond are clipped, and what is no number, or infinite, is 0.0.
        """
        whole = self._rest + data
        n_bytes = len(whole) - len(whole) % SAMPLE_BYTES[self._encoding]
        self._rest = whole[n_bytes:]
        return _samples(whole[:n_bytes], self._encoding)


def _samples(data: bytes, encoding: Encoding) -> Samples:
    if encoding == "pcm_s16le":
        return np.frombuffer(data, "<i2").astype(np.float32) * _STEP
    if encoding == "pcm_f32le":
        return np.asarray(np.nan_to_num(np.frombuffer(data, "<f4"), posinf=0.0, neginf=0.0).clip(-1.0, 1.0), np.float32)
    samples: Samples = _TABLES[encoding][np.frombuffer(data, np.uint8)]
    return samples

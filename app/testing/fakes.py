"""Small real implementations of the sound ports, for tests: plain numpy, nothing to load, the same promises as the adapters."""

import wave
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from ..domain.audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from ..domain.errors import AudioRejectedError, AudioTooLongError
from ..domain.ports import Block, DecodeLimits, Resampler, VoiceStream

_RATES_HZ: Final = range(8_000, 192_000 + 1)


class FakeVoiceDetector:
    """Calls speech whatever is louder than `threshold` (root mean square): probability 1.0, otherwise 0.0."""

    def __init__(self, *, threshold: float = 0.01) -> None:
        self._threshold = threshold

    def probabilities(self, clip: Clip) -> Samples:
        filling = np.zeros(-clip.samples.size % FRAME_SAMPLES, np.float32)
        return self.open_stream().push(np.concatenate([clip.samples, filling]))

    def open_stream(self) -> VoiceStream:
        return _EnergyStream(self._threshold)


class _EnergyStream:
    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._waiting: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Samples:
        heard = np.concatenate([self._waiting, samples])
        n_frames = heard.size // FRAME_SAMPLES
        self._waiting = heard[n_frames * FRAME_SAMPLES :]
        frames = heard[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
        loudness: Samples = np.sqrt(np.mean(frames**2, axis=1))
        return (loudness > self._threshold).astype(np.float32)


class FakeNormalizer:
    """Reads 16-bit WAV, and resamples by straight lines: fine for tones far below half the rate, and for nothing else."""

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        file.seek(0)
        try:
            recording = wave.open(file, "rb")  # noqa: SIM115  # closes nothing: the file is the caller's
        except (wave.Error, EOFError) as exc:
            raise AudioRejectedError("nothing in the file can be decoded") from exc
        n_channels, rate_hz, n_claimed = recording.getnchannels(), recording.getframerate(), recording.getnframes()
        if recording.getsampwidth() != 2 or rate_hz < 1:
            raise AudioRejectedError("nothing in the file can be decoded")
        resampler = _LinearResampler(source_rate_hz=rate_hz)
        n_heard = 0
        while data := recording.readframes(rate_hz):
            whole = np.frombuffer(data[: len(data) // (2 * n_channels) * (2 * n_channels)], "<i2").reshape(-1, n_channels)
            n_heard += whole.shape[0]
            if n_heard > limits.max_duration_s * rate_hz or n_heard * n_channels > limits.max_source_samples:
                raise AudioTooLongError(limit_s=limits.max_duration_s)
            yield Block(resampler.push(whole.mean(axis=1, dtype=np.float32) * np.float32(2**-15)))
        if n_claimed and not n_heard:
            raise AudioRejectedError("nothing in the file can be decoded")
        yield Block(resampler.finish(), truncated=n_heard < n_claimed)

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        if source_rate_hz not in _RATES_HZ:
            raise ValueError(f"the rate must be within [{_RATES_HZ[0]}, {_RATES_HZ[-1]}] Hz, not {source_rate_hz}")
        return _LinearResampler(source_rate_hz=source_rate_hz)


class _LinearResampler:
    def __init__(self, *, source_rate_hz: int) -> None:
        self._source_rate_hz = source_rate_hz
        self._waiting: Samples = np.zeros(0, np.float32)
        self._first = 0  # the index of the first waiting sample, counted from the start of the stream
        self._n_given = 0

    def push(self, samples: Samples) -> Samples:
        if self._source_rate_hz == MODEL_RATE_HZ:
            return samples
        self._waiting = np.concatenate([self._waiting, samples])
        # A sample is due once both neighbours of its place are here.
        last = self._first + self._waiting.size - 1
        return self._given(until=max(0, -(-last * MODEL_RATE_HZ // self._source_rate_hz)))

    def finish(self) -> Samples:
        if self._source_rate_hz == MODEL_RATE_HZ:
            return np.zeros(0, np.float32)
        n_heard = self._first + self._waiting.size
        return self._given(until=-(-n_heard * MODEL_RATE_HZ // self._source_rate_hz))

    def _given(self, *, until: int) -> Samples:
        places = np.arange(self._n_given, until) * (self._source_rate_hz / MODEL_RATE_HZ)
        if not places.size:
            return np.zeros(0, np.float32)
        given: Samples = np.interp(places, self._first + np.arange(self._waiting.size), self._waiting).astype(np.float32)
        self._n_given = until
        unneeded = min(until * self._source_rate_hz // MODEL_RATE_HZ - self._first, self._waiting.size - 1)
        self._waiting = self._waiting[unneeded:]
        self._first += unneeded
        return given

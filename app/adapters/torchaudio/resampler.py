"""Resampling a stream in pieces of any length, by torchaudio's windowed-sinc filter."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...domain.audio import MODEL_RATE_HZ, Samples
from ...domain.ports import Resampler

_BAND_PHASES: Final = 16  # of 8, 16 and 32 about the best at 44.1 kHz
_PIECE_S: Final = 10  # at most this much is multiplied at once
# A kernel has one row for each output phase. 640 rows serve every usual rate (11,025 Hz needs that many, 44,100 Hz 160);
# for 44,099 Hz, which shares no factor with 16,000, it would hold 700 million numbers.
_MOST_PHASES: Final = 640
_UNEVEN_PIECE: Final = 4_096  # output samples
_ZERO_CROSSINGS: Final = 6  # torchaudio's defaults: lowpass_filter_width
_ROLLOFF: Final = 0.99


def open_sinc_resampler(source_rate_hz: int) -> Resampler:
    """Start resampling mono audio of one rate to `MODEL_RATE_HZ`.

    Joined, the results equal `torchaudio.transforms.Resample` of everything at once: n samples become
    ceil(n * MODEL_RATE_HZ / source rate). Audio that has the rate already passes untouched.
    """
    if source_rate_hz == MODEL_RATE_HZ:
        return _Untouched()
    ratio = Fraction(source_rate_hz, MODEL_RATE_HZ)
    return _KernelResampler(_kernel(ratio)) if ratio.denominator <= _MOST_PHASES else _UnevenResampler(ratio)


class _Untouched:
    def push(self, samples: Samples) -> Samples:
        return samples

    def finish(self) -> Samples:
        return np.zeros(0, np.float32)


class _KernelResampler:
    def __init__(self, kernel: "_Kernel") -> None:
        self._kernel = kernel
        self._waiting: Samples = np.zeros(kernel.width, np.float32)
        self._n_heard = 0
        self._n_given = 0

    def push(self, samples: Samples) -> Samples:
        self._n_heard += samples.size
        return self._completed(samples)

    def finish(self) -> Samples:
        still_due = -(-self._n_heard * self._kernel.n_out // self._kernel.n_in) - self._n_given
        return self._completed(np.zeros(self._kernel.width + self._kernel.n_in, np.float32))[:still_due]

    def _completed(self, samples: Samples) -> Samples:
        kernel = self._kernel
        waiting = np.concatenate([self._waiting, samples])
        n_groups = max(0, (waiting.size - kernel.n_taps) // kernel.n_in + 1)
        groups_at_once = max(1, _PIECE_S * MODEL_RATE_HZ // kernel.n_out)
        found = np.empty((n_groups, kernel.n_out), np.float32)
        for start in range(0, n_groups, groups_at_once):
            end = min(start + groups_at_once, n_groups)
            kernel.apply(waiting[start * kernel.n_in : (end - 1) * kernel.n_in + kernel.n_taps], found[start:end])
        self._waiting = waiting[n_groups * kernel.n_in :].copy()
        self._n_given += found.size
        return found.reshape(-1)


class _UnevenResampler:
    """The same filter with its taps computed for every output sample: slower, and no larger whatever the rate."""

    def __init__(self, ratio: Fraction) -> None:
        self._ratio = ratio  # source samples per output sample
        self._cutoff = min(1.0, float(1 / ratio)) * _ROLLOFF
        self._width = math.ceil(_ZERO_CROSSINGS / self._cutoff)
        self._waiting: Samples = np.zeros(self._width, np.float32)
        self._first = -self._width  # where `waiting` starts, in source samples
        self._n_given = 0

    def push(self, samples: Samples) -> Samples:
        self._waiting = np.concatenate([self._waiting, samples])
        due = math.ceil((self._first + self._waiting.size - self._width) / self._ratio)
        return self._given(until=max(self._n_given, due))

    def finish(self) -> Samples:
        n_heard = self._first + self._waiting.size
        self._waiting = np.concatenate([self._waiting, np.zeros(self._width, np.float32)])
        return self._given(until=math.ceil(n_heard / self._ratio))

    def _given(self, *, until: int) -> Samples:
        given = np.empty(until - self._n_given, np.float32)
        taps = np.arange(-self._width, self._width + 1)
        for start in range(self._n_given, until, _UNEVEN_PIECE):
            numbers = np.arange(start, min(start + _UNEVEN_PIECE, until), dtype=np.int64)
            whole, part = np.divmod(numbers * self._ratio.numerator, self._ratio.denominator)
            # torchaudio/functional/functional.py, _get_sinc_resample_kernel: a sinc under a Hann window
            distance = (taps - (part / self._ratio.denominator)[:, None]) * self._cutoff
            distance = distance.clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS).astype(np.float32)
            weights = np.sinc(distance) * np.cos(distance * np.float32(np.pi / 2 / _ZERO_CROSSINGS)) ** 2
            heard = np.lib.stride_tricks.sliding_window_view(self._waiting, taps.size)[whole - self._width - self._first]
            given[start - self._n_given : start - self._n_given + numbers.size] = np.einsum("ij,ij->i", heard, weights)
        self._n_given = until
        unneeded = max(0, int(until * self._ratio) - self._width - self._first)
        self._waiting = self._waiting[unneeded:].copy()
        self._first += unneeded
        return given * np.float32(self._cutoff)


class _Kernel(msgspec.Struct, frozen=True, eq=False):
    """Turns every `n_in` samples into `n_out`; taps reach `width` samples to either side."""

    n_in: int
    n_out: int
    width: int
    bands: tuple[tuple[int, int, Samples], ...]  # first tap, end tap, weights of shape (taps, phases); the rest is zero

    @property
    def n_taps(self) -> int:
        return 2 * self.width + self.n_in

    def apply(self, samples: Samples, out: Samples) -> None:
        """Fill `out`, shape (n_groups, n_out), from the samples of exactly so many groups."""
        # numpy, not torch: torch's threads wait busily for one another between steps as small as these
        groups = np.lib.stride_tricks.sliding_window_view(samples, self.n_taps)[:: self.n_in]
        done = 0
        for first, end, weights in self.bands:
            np.matmul(groups[:, first:end], weights, out=out[:, done : done + weights.shape[1]])
            done += weights.shape[1]


@lru_cache(maxsize=16)  # under 6 MB each; building one takes milliseconds, too long for each live session
def _kernel(ratio: Fraction) -> _Kernel:
    """Compute torchaudio's kernel for `ratio` source samples per output sample, band by band to save memory.

    Computed here because importing torch takes three seconds and 280 MB of every process that decodes (2026-11); the tests
    hold it to torchaudio's own numbers.
    """
    n_in, n_out = ratio.numerator, ratio.denominator
    width = math.ceil(_ZERO_CROSSINGS * n_in / (min(n_in, n_out) * _ROLLOFF))
    n_repeats = -(-_BAND_PHASES // n_out)  # a few phases are repeated: many products of almost nothing are slow
    bands = []
    for start in range(0, n_repeats * n_out, _BAND_PHASES):
        rows = np.arange(start, min(start + _BAND_PHASES, n_repeats * n_out))
        weights = _weights(rows, np.arange(-width, width + n_repeats * n_in), ratio)
        used = np.flatnonzero((np.abs(weights) > 1e-9).any(axis=0))  # 1e-9: past the window's end rounding leaves 1e-17
        first, end = int(used[0]), int(used[-1]) + 1
        bands.append((first, end, np.ascontiguousarray(weights[:, first:end].T)))
    return _Kernel(n_repeats * n_in, n_repeats * n_out, width, tuple(bands))


def _weights(rows: NDArray[np.int64], taps: NDArray[np.int64], ratio: Fraction) -> Samples:
    """Return what each tap weighs in each output sample: float32, shape (rows, taps).

    Source: torchaudio/functional/functional.py, _get_sinc_resample_kernel: a sinc under a Hann window, in doubles but for the
    phase.
    """
    n_in, n_out = ratio.numerator, ratio.denominator
    base = min(n_in, n_out) * _ROLLOFF
    repeat, phase = np.divmod(rows, n_out)
    shift = -phase.astype(np.float32) / np.float32(n_out)
    distance = ((taps - n_in * repeat[:, None]) / n_in + shift[:, None]) * base
    distance = distance.clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    weights = np.sinc(distance) * np.cos(distance * (np.pi / 2 / _ZERO_CROSSINGS)) ** 2 * (base / n_in)
    found: Samples = weights.astype(np.float32)
    return found

"""The last part of a stream's samples, by their place in the whole stream."""

import numpy as np

from .audio import Samples


class Track:
    """Keeps what is appended until it is let go; places are counted from the stream's first sample."""

    def __init__(self) -> None:
        self._buffer: Samples = np.zeros(16_384, np.float32)
        self._from, self._size = 0, 0

    @property
    def end(self) -> int:
        """How many samples were appended."""
        return self._from + self._size

    def append(self, samples: Samples) -> None:
        """Add the next samples."""
        needed = self._size + samples.size
        if needed > self._buffer.size:
            grown = np.zeros(max(needed, 2 * self._size), np.float32)  # doubled, so that a sample is moved once on the average
            grown[: self._size] = self._buffer[: self._size]
            self._buffer = grown
        self._buffer[self._size : needed] = samples
        self._size = needed

    def cut(self, start: int, end: int) -> Samples:
        """Return a copy of the samples of [start, end), which must still be kept."""
        if not self._from <= start <= end <= self.end:
            raise ValueError(f"samples {start}..{end} are not among those kept: {self._from}..{self.end}")
        return self._buffer[start - self._from : end - self._from].copy()

    def let_go(self, before: int) -> None:
        """Forget what lies before a place; in steps of half of what is kept, so that little is moved."""
        n_samples = min(before, self.end) - self._from
        if n_samples < max(self._size - n_samples, 16_384):
            return
        kept = self._buffer[n_samples : self._size]
        self._buffer = np.zeros(max(16_384, 2 * kept.size), np.float32)
        self._buffer[: kept.size] = kept
        self._from, self._size = self._from + n_samples, kept.size

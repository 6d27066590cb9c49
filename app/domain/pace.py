"""How long batches ran: the report of each, and the measured pace that the next ones are planned by."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from .batching import Waiting

_LEAST_RISE: Final = 0.1
_FORGETTING: Final = 0.9  # weight of a batch in the measured pace against the one after it


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of the recogniser held and took."""

    live: bool
    audio_s: tuple[float, ...]  # of each clip
    waited_s: tuple[float, ...]  # of each clip, from when it was submitted until the call
    run_s: float
    failed: bool = False

    @property
    def padded_s(self) -> float:
        """What the batch costs: its clips times the longest of them."""
        return len(self.audio_s) * max(self.audio_s)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long batches run for what they are padded to: a straight line through the last few, of which the latest count most."""

    n: float = 0.0  # batches, each weighing less the older it is; below, sums with the same weights
    padded_s: float = 0.0
    run_s: float = 0.0
    padded_padded: float = 0.0
    padded_run: float = 0.0

    @property
    def per_padded_s(self) -> float:
        """Seconds of run time for one padded second, what every batch costs included; 0.0 before anything ran."""
        return self.run_s / self.padded_s if self.padded_s else 0.0

    def padded_within_s(self, run_s: float) -> float:
        """Return how many padded seconds run within `run_s`; infinitely many before anything took any time."""
        if not self.per_padded_s:
            return math.inf
        spread = self.n * self.padded_padded - self.padded_s**2
        rising = (self.n * self.padded_run - self.padded_s * self.run_s) / spread if spread > 1e-9 * self.padded_s**2 else math.inf
        # Between a tenth of the plain ratio and all of it: what is measured of a few batches may be anything.
        slope = min(max(rising, _LEAST_RISE * self.per_padded_s), self.per_padded_s)
        return max(0.0, run_s - (self.run_s - slope * self.padded_s) / self.n) / slope

    def after(self, *, run_s: float, padded_s: float) -> "Pace":
        """Return the pace with one more batch."""
        return Pace(
            n=_FORGETTING * self.n + 1,
            padded_s=_FORGETTING * self.padded_s + padded_s,
            run_s=_FORGETTING * self.run_s + run_s,
            padded_padded=_FORGETTING * self.padded_padded + padded_s * padded_s,
            padded_run=_FORGETTING * self.padded_run + padded_s * run_s,
        )


class Stopwatch:
    """Times the calls of a recogniser. One thread at a time uses it; seconds are those of the engine's clock."""

    def __init__(self, *, overlapping: bool) -> None:
        """Begin; `overlapping` says that of two calls in a row one is only prepared while the other runs."""
        self._overlapping = overlapping
        self._ended_s = -math.inf  # when the last call ended
        self._paces = {live: Pace() for live in (False, True)}

    def pace(self, *, live: bool) -> Pace:
        """How file batches run, or live ones."""
        return self._paces[live]

    def report(self, batch: Sequence[Waiting], *, began_s: float, ended_s: float, failed: bool) -> BatchReport:
        """Count a call that ended just now. Two overlapping calls share no second: what is only prepared has not run yet."""
        report = BatchReport(
            live=batch[0].live,
            audio_s=tuple(item.duration_s for item in batch),
            waited_s=tuple(began_s - item.since_s for item in batch),
            run_s=ended_s - (max(began_s, self._ended_s) if self._overlapping else began_s),
            failed=failed,
        )
        self._ended_s = ended_s
        if not failed:
            self._paces[report.live] = self._paces[report.live].after(run_s=report.run_s, padded_s=report.padded_s)
        return report

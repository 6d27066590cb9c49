"""How long batches ran: the report of each, and the measured pace that the next ones are planned by."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from .batching import Waiting

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
    """How long batches run for each second they are padded to; the last few batches count most."""

    run_s: float = 0.0
    padded_s: float = 0.0

    @property
    def per_padded_s(self) -> float:
        """Seconds of run time for one padded second; 0.0 before anything ran."""
        return self.run_s / self.padded_s if self.padded_s else 0.0

    def after(self, *, run_s: float, padded_s: float) -> "Pace":
        """Return the pace with one more batch."""
        return Pace(run_s=_FORGETTING * self.run_s + run_s, padded_s=_FORGETTING * self.padded_s + padded_s)


class Stopwatch:
    """Times the calls of a recogniser. One thread at a time uses it; seconds are those of the engine's clock."""

    def __init__(self, *, overlapping: bool) -> None:
        """Begin; `overlapping` says that of two calls in a row one is only prepared while the other runs."""
        self._overlapping = overlapping
        self._ended_s = -math.inf  # when the last call ended
        self._paces = {live: Pace() for live in (False, True)}

    def pace(self, *, live: bool) -> float:
        """Seconds of run time for one padded second of a file batch, or of a live one; 0.0 before one ran."""
        return self._paces[live].per_padded_s

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

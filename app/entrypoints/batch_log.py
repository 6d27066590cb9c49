"""The last calls of the recogniser, for whoever looks why something was slow."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from ..domain.engine import Engine
from ..domain.pace import BatchReport

KEPT: Final = 500


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the recogniser. `fill` is the share of the padded audio that is audio; all times in seconds."""

    ended_unix_s: float
    priority: Literal["live", "file"]
    clips: int
    audio_s: float
    padded_s: float
    fill: float
    longest_wait_s: float
    run_s: float
    failed: bool


class BatchLog:
    """Keeps the last `KEPT` batches of an engine."""

    def __init__(self, engine: Engine, *, unix_s: Callable[[], float]) -> None:
        """Listen to `engine`, which has not been started yet."""
        self._unix_s = unix_s
        self._batches: deque[Batch] = deque(maxlen=KEPT)
        self._turn = threading.Lock()  # batches come on the engine's threads
        engine.on_batch(self._add)

    @property
    def latest(self) -> list[Batch]:
        """The batches, the latest first."""
        with self._turn:
            return [*reversed(self._batches)]

    def _add(self, report: BatchReport) -> None:
        audio_s = sum(report.audio_s)
        batch = Batch(
            ended_unix_s=round(self._unix_s(), 3),
            priority="live" if report.live else "file",
            clips=len(report.audio_s),
            audio_s=round(audio_s, 3),
            padded_s=round(report.padded_s, 3),
            fill=round(audio_s / report.padded_s, 3) if report.padded_s else 1.0,
            longest_wait_s=round(max(report.waited_s), 6),
            run_s=round(report.run_s, 6),
            failed=report.failed,
        )
        with self._turn:
            self._batches.append(batch)

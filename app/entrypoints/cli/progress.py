"""How far `transcribe` has come: a bar on a terminal, and numbers for the summary."""

import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_NO_SIZE_BYTES: Final = 1_000_000  # what a recording counts whose size nobody knows


class Meter:
    """Counts audio on many threads and shows it on standard error; the bar runs by bytes, as lengths are not known beforehand."""

    def __init__(self, sizes_bytes: list[int], *, shown: bool) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]} files, {task.fields[audio]} of audio, {task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not (shown and sys.stderr.isatty()))
        self._weights = [size or _NO_SIZE_BYTES for size in sizes_bytes]
        self._done = [0.0] * len(sizes_bytes)  # bytes of each
        self._audio_s = [0.0] * len(sizes_bytes)
        self._n_files, self._lock, self._began_s = 0, threading.Lock(), monotonic()
        self._bar = self._progress.add_task("transcribing", total=sum(self._weights), files=0, audio="0:00", speed="")

    @property
    def audio_s(self) -> float:
        return sum(self._audio_s)

    @property
    def elapsed_s(self) -> float:
        return monotonic() - self._began_s

    @property
    def speed(self) -> float:
        """Seconds of audio for each second that has passed."""
        return self.audio_s / self.elapsed_s

    def begin(self) -> None:
        """Count the time from here on: what was before was loading."""
        self._began_s = monotonic()
        self._progress.start()

    def heard(self, number: int, audio_s: float, file: BinaryIO) -> None:
        """Take what has been decoded of a recording so far."""
        with suppress(OSError, ValueError):
            self._done[number] = min(file.tell(), self._weights[number])
        self._audio_s[number] = audio_s
        self._show()

    def over(self, number: int, audio_s: float | None) -> None:
        """Take that a recording is over, heard or not."""
        with self._lock:
            self._n_files += 1
        self._done[number], self._audio_s[number] = self._weights[number], audio_s or 0.0
        self._show()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def _show(self) -> None:
        files, speed = f"{self._n_files}/{len(self._done)}", f"{self.speed:.1f} x"
        self._progress.update(self._bar, completed=sum(self._done), files=files, audio=clock(self.audio_s), speed=speed)


def clock(duration_s: float) -> str:
    """Write 3,725 s as 1:02:05, and less than an hour as 2:05."""
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"

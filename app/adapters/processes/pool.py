"""A few processes that decode, kept warm: started in the background, replaced when they end."""

import os
import select
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic
from typing import Final

from ...domain.audio import Samples
from ...domain.errors import OverloadedError
from ...domain.ports import DecodeLimits
from .process import DecodeProcess
from .wire import Answer, Open

_START_S: Final = 120.0  # for a process to be ready; 0.3 s on an idle machine, but its libraries may come from a slow disk
_MOST_FAILED_STARTS: Final = 3  # at first, until nothing is hoped for any more
_RETRY_S: Final = 5
_LONGEST_PAUSE_S: Final = 30.0  # between starts, where they fail


class Place:
    """Where a file is being decoded: in one process, between two pulls at rest."""

    def __init__(self, process: DecodeProcess, opening: Open, descriptor: int) -> None:
        self.process = process
        self._job, self._descriptor = opening.job, descriptor
        self._opening: Open | None = opening

    def pull(self) -> tuple[Answer, Samples]:
        """Have it decoded on; see `DecodeProcess.pull`."""
        opening, self._opening = self._opening, None
        return self.process.pull(self._job, opening, self._descriptor)

    def leave(self) -> None:
        """Say that nobody wants the rest."""
        if self._opening is None:
            self.process.drop(self._job)


class Pool:
    """Gives files their places. Any number of threads may use it."""

    def __init__(
        self, start: Callable[[], DecodeProcess], *, size: int, patience_s: float, on_trouble: Callable[..., None]
    ) -> None:
        """Begin to start `size` processes, and return at once.

        Args:
            start: Starts one, or raises OSError.
            patience_s: How long a file waits that finds no process ready.
            on_trouble: Told of each that ends unasked: the event's name, and facts by name.
        """
        self._start, self._size, self._patience_s, self._on_trouble = start, size, patience_s, on_trouble
        self._processes: list[DecodeProcess] = []
        self._changed = Condition()
        self._closing = False
        self._n_failed_starts, self._next_start_s = 0, 0.0
        self._woken, self._wake = os.pipe()
        # One thread starts them all and stays: the kernel ends a process with the thread that started it.
        self._keeper = Thread(target=self._keep, name="decode-keeper", daemon=True)
        self._keeper.start()

    @property
    def given_up(self) -> bool:
        """Whether none is ready and several in a row did not start; further ones are started all the same."""
        return self._n_failed_starts >= _MOST_FAILED_STARTS and not self._usable()

    def place(self, descriptor: int, limits: DecodeLimits, *, skip_samples: int = 0) -> Place:
        """Choose the process that has least to do.

        Raises:
            OverloadedError: None is ready, not even after a while.
        """
        with self._changed:
            process = min(self._wait(self._patience_s), key=lambda each: (each.n_busy, each.n_files))
            process.n_files += 1
        opening = Open(job=process.number(), limits=limits, skip_samples=skip_samples)
        return Place(process, opening, descriptor)

    def wait_for_first(self) -> None:
        """Wait for a process to be ready as long as one may become so, however long a file would wait.

        Raises:
            OverloadedError: None is, and several did not start.
        """
        self._wait(None, given_up=lambda: self.given_up)

    def _wait(self, patience_s: float | None, given_up: Callable[[], bool] = lambda: False) -> list[DecodeProcess]:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._usable() or given_up(), patience_s)
            usable = self._usable()  # once: a process may be lost at any time, and so be usable no more
            if self._closing or not usable:
                raise OverloadedError("no process is ready to decode; try again later", retry_after_s=_RETRY_S)
            return usable

    def release(self, place: Place) -> None:
        """Give a place back."""
        place.leave()
        with self._changed:
            place.process.n_files -= 1

    def close(self) -> None:
        """End all processes; what they decode is lost."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        os.write(self._wake, b"x")
        self._keeper.join()
        os.close(self._woken)
        os.close(self._wake)

    def _usable(self) -> list[DecodeProcess]:
        return [process for process in self._processes if process.usable]

    def _keep(self) -> None:
        while not self._closing:
            self._fill_up()
            for process in self._with_news():
                if process.ready or not process.hear_ready():
                    self._bury(process)
                    continue
                with self._changed:
                    process.ready, self._n_failed_starts = True, 0
                    self._changed.notify_all()
        for process in self._processes:
            process.reap()

    def _fill_up(self) -> None:
        while len(self._processes) < self._size and monotonic() >= self._next_start_s:
            try:
                self._processes.append(self._start())
            except OSError as refused:
                self._put_off("decode_process_not_started", reason=str(refused))

    def _with_news(self) -> list[DecodeProcess]:
        """Wait until something happens, and return the processes that are ready or have ended."""
        poll, now_s = select.poll(), monotonic()
        poll.register(self._woken, select.POLLIN)
        for process in self._processes:
            poll.register(process.fileno(), 0 if process.ready else select.POLLIN)  # 0: its end is told all the same
        waits_s = [process.started_s + _START_S - now_s for process in self._processes if not process.ready]
        if len(self._processes) < self._size:
            waits_s.append(self._next_start_s - now_s)
        told = {number for number, _ in poll.poll(max(0.0, min(waits_s)) * 1000 if waits_s else None)}
        late_s = monotonic() - _START_S
        return [each for each in self._processes if each.fileno() in told or (not each.ready and each.started_s <= late_s)]

    def _bury(self, process: DecodeProcess) -> None:
        with self._changed:
            self._processes.remove(process)
        status = process.reap()
        if self._closing:
            return
        if process.ready:
            self._on_trouble("decode_process_ended", pid=process.pid, status=status)
        else:
            self._put_off("decode_process_not_started", status=status)

    def _put_off(self, event: str, **facts: str | int) -> None:
        pause_s = min(_LONGEST_PAUSE_S, 0.5 * 2**self._n_failed_starts)
        self._next_start_s = monotonic() + pause_s
        self._on_trouble(event, **facts, next_try_s=pause_s)
        with self._changed:
            self._n_failed_starts += 1
            self._changed.notify_all()

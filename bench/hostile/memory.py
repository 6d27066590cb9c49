"""How far one case drives up the memory of all processes of a service together."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from ..victim import Victim

_MIB: Final = 2**20
_LOOK_S: Final = 0.05


class Rise:
    """Watches while it is open; `mib` is there afterwards.

    The sum of the proportional set sizes is sampled. Of processes that live through it all the kernel also knows the peak between
    two samples; what counts is whichever is more.
    """

    def __init__(self, victim: Victim) -> None:
        self._processes = [victim.main, *victim.main.children(recursive=True)]
        self._victim = victim
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._first_mib = self._most_mib = 0.0
        self.mib = 0.0

    def __enter__(self) -> Self:
        self._before = {process.pid: _resident_mib(process, forget=True) for process in self._processes}
        self._first_mib = self._most_mib = _proportional_mib(self._victim)
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._watcher.join()
        peaks = {process.pid: _resident_mib(process) for process in self._processes}
        grown = sum(max(0.0, peaks[pid] - before) for pid, before in self._before.items())
        self.mib = max(self._most_mib - self._first_mib, grown)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            self._most_mib = max(self._most_mib, _proportional_mib(self._victim))


def _proportional_mib(victim: Victim) -> float:
    found = 0.0
    for process in (victim.main, *victim.main.children(recursive=True)):
        with suppress(OSError, StopIteration):
            found += _told(Path(f"/proc/{process.pid}/smaps_rollup"), "Pss:")
    return found


def _resident_mib(process: psutil.Process, *, forget: bool = False) -> float:
    """Return the peak of a process, or what it has now where the peak is to begin anew; nothing once it is gone."""
    with suppress(OSError, StopIteration):
        if forget:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc(5)
        return _told(Path(f"/proc/{process.pid}/status"), "VmHWM:")
    return 0.0


def _told(path: Path, name: str) -> float:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name)) * 1024 / _MIB

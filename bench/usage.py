"""What processes use: processor time and memory, of each with all its children."""

import subprocess
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final

import psutil

_EVERY_S: Final = 1.0  # a look at all processes takes some 10 ms: seldom enough not to disturb what is measured


class Usage:
    """Watches a process with its children while it is open: `cpu_s` and `memory_mb` are there afterwards."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self.cpu_s = 0.0  # user and system, of children that ended meanwhile too
        self.memory_mb = 0.0  # highest sum of resident sets that was seen

    def __enter__(self) -> "Usage":
        self._before_s = sum(map(_cpu_s, _trees(self._processes)))
        self._watcher.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _failure: BaseException | None, _traceback: TracebackType | None) -> None:
        self.cpu_s = sum(map(_cpu_s, _trees(self._processes))) - self._before_s
        self._over.set()
        self._watcher.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.memory_mb = max(self.memory_mb, sum(map(_memory_mb, _trees(self._processes))))


def device_memory_mb(process: psutil.Process) -> float | None:
    """Return what a process with its children holds on CUDA devices, as nvidia-smi says; None where it cannot say."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-compute-apps=pid,used_gpu_memory", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return held_mb(listed, {child.pid for child in _trees([process])})


def held_mb(listed: str, pids: set[int]) -> float | None:
    """Add up the memory of `pids` in lines of `pid, MiB`; None if none of them is there, as inside some containers."""
    found = [line.split(",") for line in listed.splitlines() if line.count(",") == 1]
    mine = [float(held) for pid, held in found if pid.strip().isdigit() and int(pid) in pids and held.strip().isdigit()]
    return sum(mine) * 1.048576 if mine else None


def _trees(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += [process, *process.children(recursive=True)]
    return found


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _memory_mb(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss / 1e6)
    return 0.0

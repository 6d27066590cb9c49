"""What a service holds: memory, descriptors, threads, tasks and temporary files, of all its processes together."""

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from .child import BenchError
from .victim import Victim

_SETTLED_S: Final = 3.0  # from when nothing is under way until connections and their tasks are over, too
_PATIENCE_S: Final = 120.0
_LOOKS: Final = 5
_LOOK_S: Final = 1.0
_MOST_GROWTH: Final = 0.02  # of the proportional set size
_COUNTED: Final = ("processes", "threads", "descriptors", "tasks", "files")
_TITLES: Final = {"pss_mb": "memory (PSS), MB", "rss_mb": "memory (RSS), MB", "files": "temporary files"}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One look at all processes."""

    pss_mb: float  # proportional set size: pages that processes share are counted once
    rss_mb: float
    processes: int
    threads: int
    descriptors: int
    tasks: int
    files: int  # temporary ones: with a name, or open without one


def look(victim: Victim) -> Facts:
    """Look now."""
    victim.remember()
    pss = rss = 0.0
    threads = descriptors = n_processes = files = 0
    for process in [victim.main, *victim.main.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            memory = process.memory_full_info()
            pss, rss = pss + memory.pss / 1e6, rss + memory.rss / 1e6
            threads, descriptors = threads + process.num_threads(), descriptors + process.num_fds()
            files += _files_of(process.pid, victim.uploads)
            n_processes += 1
    return Facts(
        pss_mb=pss, rss_mb=rss, processes=n_processes, threads=threads, descriptors=descriptors,
        tasks=round(numbers_of(victim)["stt_tasks"]), files=files + len(victim.left_files()),
    )  # fmt: skip


def at_rest(victim: Victim) -> Facts:
    """Wait until nothing is under way, and return the medians of a few looks.

    Raises:
        BenchError: Something is under way for ever.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while any(numbers_of(victim)[name] for name in ("stt_live_sessions", "stt_queue_items")):
        if time.monotonic() > deadline_s:
            raise BenchError(f"live sessions or clips are left {_PATIENCE_S:.0f} s after the last client")
        time.sleep(_LOOK_S)
    time.sleep(_SETTLED_S)
    looks = []
    for _ in range(_LOOKS):
        looks.append(look(victim))
        time.sleep(_LOOK_S)
    return median_of(looks)


def median_of(looks: Sequence[Facts]) -> Facts:
    """Return the median of each fact."""
    medians = {name: statistics.median(getattr(one, name) for one in looks) for name in Facts.__struct_fields__}
    return msgspec.convert(medians, Facts, strict=False)


def told(out: Console, before: Facts, after: Facts, looks: Sequence[Facts], faults: Sequence[str]) -> int:
    """Print what was held first, last and in between, and whatever is not as it should be; return 0 if nothing is."""
    table = Table(title="What all processes hold")
    for column in ("", "at first", "at the end", "change", "highest while busy"):
        table.add_column(column, justify="right" if column else "left")
    for name in Facts.__struct_fields__:
        first, last = getattr(before, name), getattr(after, name)
        change = f"{last / first - 1:+.1%}" if isinstance(first, float) else f"{last - first:+d}"
        highest = max((getattr(one, name) for one in looks), default=last)
        table.add_row(_TITLES.get(name, name), f"{first:.0f}", f"{last:.0f}", change, f"{highest:.0f}")
    out.print(table)
    faults = [*faults, *_grown(before, after)]
    for fault in faults:
        out.print(f"FAULT {fault}", markup=False)
    return 1 if faults else 0


def _grown(before: Facts, after: Facts) -> list[str]:
    grown = after.pss_mb / before.pss_mb - 1
    more = {name: getattr(after, name) - getattr(before, name) for name in _COUNTED}
    return [f"memory grew by {grown:.1%}"] * (grown > _MOST_GROWTH) + [f"{n} {name} more" for name, n in more.items() if n > 0]


def numbers_of(victim: Victim) -> dict[str, float]:
    """Return what `/metrics` tells, without labels."""
    text = httpx.get(f"{victim.url}/metrics", timeout=60).text
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def _files_of(pid: int, folder: Path) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(descriptor).startswith(str(folder))
    return found

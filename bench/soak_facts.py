"""What a service holds: memory, descriptors, threads, tasks and temporary files, of all its processes together."""

import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
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
_NUMBERS: Final = ("pss_mb", "rss_mb", *_COUNTED)
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
    kinds: Mapping[str, int] = {}  # of descriptors, by what they are open on (numbers left out)


def look(victim: Victim) -> Facts:
    """Look now."""
    victim.remember()
    pss = rss = 0.0
    threads = n_processes = 0
    names: list[str] = []
    for process in [victim.main, *victim.main.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            memory = process.memory_full_info()
            pss, rss = pss + memory.pss / 1e6, rss + memory.rss / 1e6
            threads, n_processes = threads + process.num_threads(), n_processes + 1
            names += _open_in(process)
    files = sum(name.startswith(str(victim.uploads)) for name in names) + len(victim.left_files())
    return Facts(
        pss_mb=pss, rss_mb=rss, processes=n_processes, threads=threads, descriptors=len(names), files=files,
        tasks=round(numbers_of(victim)["stt_tasks"]), kinds=Counter(re.sub(r"\d+", "N", name) for name in names),
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
    kinds = {kind for one in looks for kind in one.kinds}
    medians = {name: statistics.median(getattr(one, name) for one in looks) for name in _NUMBERS}
    of_kinds = {kind: statistics.median(one.kinds.get(kind, 0) for one in looks) for kind in kinds}
    return msgspec.convert({**medians, "kinds": of_kinds}, Facts, strict=False)


def more_held(before: Facts, after: Facts, counted: Sequence[str] = _COUNTED) -> list[str]:
    """Return of what there is more than before, and how many; of descriptors also which."""
    more = {name: getattr(after, name) - getattr(before, name) for name in counted}
    kinds = {kind: n - before.kinds.get(kind, 0) for kind, n in after.kinds.items()}
    which = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()) if n > 0)
    return [f"{n} {name} more than before" + f": {which}" * (name == "descriptors") for name, n in more.items() if n > 0]


def told(out: Console, before: Facts, after: Facts, looks: Sequence[Facts], faults: Sequence[str]) -> int:
    """Print what was held first, last and in between, and whatever is not as it should be; return 0 if nothing is."""
    table = Table(title="What all processes hold")
    for column in ("", "at first", "at the end", "change", "highest while busy"):
        table.add_column(column, justify="right" if column else "left")
    for name in _NUMBERS:
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
    return [f"memory grew by {grown:.1%}"] * (grown > _MOST_GROWTH) + more_held(before, after)


def numbers_of(victim: Victim) -> dict[str, float]:
    """Return what `/metrics` tells, without labels."""
    text = httpx.get(f"{victim.url}/metrics", timeout=60).text
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def _open_in(process: psutil.Process) -> list[str]:
    """Return what the descriptors of a process are open on: as `readlink` tells it, a connection by its addresses and state."""
    connections = {one.fd: one for one in process.net_connections("all")}
    found = []
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):
            name = os.readlink(descriptor)
            if one := connections.get(int(descriptor.name)):
                name = f"{one.family.name} {one.laddr} {one.raddr} {one.status}"
            found.append(name)
    return found

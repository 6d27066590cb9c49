"""What `doctor` asks of the machine: cores, memory, files, the port, room for uploads, what the kernel can close off."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...settings import Settings
from .cgroup import granted
from .findings import Finding

_FULL_LANDLOCK: Final = 6  # the version from which it forbids all that decoding is to be kept from: Linux 6.12
# The most that the service was seen to take on a CPU, in bytes (bench/RESULTS.md): of the bundled model, and of Parakeet's size.
_BUNDLED_BYTES: Final = 1_710_000_000
_PARAKEET_BYTES: Final = 6_540_000_000


def cores(_settings: Settings) -> Iterator[Finding]:
    """Compare the cores that the process sees with those that it is granted."""
    yield of_cores(len(os.sched_getaffinity(0)), granted().cores)


def of_cores(seen: int, share: float | None) -> Finding:
    """Judge that."""
    if share is None or share >= seen:
        return Finding(topic="cores", told=f"{seen}")
    return Finding(
        topic="cores",
        state="warning",
        told=f"{seen} to be seen, and {share:g} granted by the container: threads for all of them only wait for one another",
        fix=f"pin the container to whole cores (`--cpuset-cpus`), or set OMP_NUM_THREADS={max(1, int(share))}",
    )


def memory(settings: Settings) -> Iterator[Finding]:
    """Compare the memory with what the model took elsewhere."""
    yield of_memory(settings, machine_bytes=_machine_bytes(), granted_bytes=granted().memory_bytes)


def of_memory(settings: Settings, *, machine_bytes: int | None, granted_bytes: int | None) -> Finding:
    """Judge that."""
    known = [n_bytes for n_bytes in (granted_bytes, machine_bytes) if n_bytes is not None]
    if not known:
        return Finding(topic="memory", told="unknown: there is no /proc/meminfo")
    told = f"{min(known) / 1e9:.1f} GB" + (" granted by the container" if granted_bytes == min(known) else "")
    needed, name = (_BUNDLED_BYTES, "the bundled model") if settings.model == "bundled" else (_PARAKEET_BYTES, "Parakeet on a CPU")
    if settings.recognizer == "nemo" and min(known) < needed:
        told = f"{told}; the service with {name} was seen to take {needed / 1e9:.1f} GB"
        return Finding(topic="memory", state="warning", told=told, fix="grant it more, or serve a smaller model")
    return Finding(topic="memory", told=told)


def open_files(settings: Settings) -> Iterator[Finding]:
    """Tell how many connections the limit of open files allows."""
    from .serve import connections

    n_served = connections(settings)
    if n_served >= settings.max_connections:
        yield Finding(topic="open files", told=f"enough for {n_served} connections")
        return
    yield Finding(
        topic="open files",
        state="warning",
        told=f"enough for {n_served} connections at a time, and max_connections is {settings.max_connections}",
        fix="raise the hard limit: `ulimit -Hn`, systemd's LimitNOFILE, Docker's --ulimit nofile; or lower STT_MAX_CONNECTIONS",
    )


def port(settings: Settings) -> Iterator[Finding]:
    """Try the address."""
    from .serve import taken

    address, fault = f"{settings.host}:{settings.port}", taken(settings)
    if fault is None:
        yield Finding(topic="port", told=f"{address} is free")
    elif fault.errno == errno.EADDRINUSE:
        fix = "if that is not this service already: choose another with STT_PORT"
        yield Finding(topic="port", state="warning", told=f"somebody listens on {address}", fix=fix)
    else:
        fix = "set STT_HOST to an address of this machine, and STT_PORT to 1024 or more"
        yield Finding(topic="port", state="failure", told=f"{address}: {fault.strerror}", fix=fix)


def uploads(settings: Settings) -> Iterator[Finding]:
    """Look for room for the largest upload."""
    folder = tempfile.gettempdir()
    free_bytes = shutil.disk_usage(folder).free
    told = f"{free_bytes / 1e9:.1f} GB free in {folder}"
    if free_bytes < settings.max_upload_mb * 1_000_000:
        told = f"{told}, and one may have {settings.max_upload_mb} MB (STT_MAX_UPLOAD_MB)"
        yield Finding(topic="uploads", state="warning", told=told, fix="make room there, or set TMPDIR to a folder that has it")
    else:
        yield Finding(topic="uploads", told=told)


def confinement(_settings: Settings) -> Iterator[Finding]:
    """Ask the kernel for Landlock, which closes decoding off."""
    from ...container import landlock_version

    version = landlock_version()
    if version >= _FULL_LANDLOCK:
        yield Finding(topic="landlock", told=f"version {version}")
        return
    told = (
        f"version {version} forbids only part of what it could" if version > 0 else "the kernel has none: decoding can open files"
    )
    fix = "Linux 6.12 has all of it, 5.13 the first part; it must be built in and not be kept from containers (seccomp)"
    yield Finding(topic="landlock", state="warning", told=told, fix=fix)


def _machine_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")), None)

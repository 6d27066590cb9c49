"""How much of the machine this process may use: what a container is granted, which /proc does not tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

_MOUNT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
_NO_LIMIT_BYTES: Final = 1 << 60  # version 1 writes the largest multiple of a page instead of none


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the control groups; None where there is none."""

    memory_bytes: int | None = None
    cores: float | None = None


def granted(mount: Path = _MOUNT, own: Path = _OWN) -> Granted:
    """Read the narrowest limits of this process's group and all above it, of both versions (cgroups(7))."""
    memory = [
        *(_number(folder / "memory.max") for folder in _folders(mount, own, "")),
        *(_number(folder / "memory.limit_in_bytes") for folder in _folders(mount, own, "memory")),
    ]
    cores = [
        *(_share(_text(folder / "cpu.max")) for folder in _folders(mount, own, "")),
        *(_share(f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}")
          for folder in _folders(mount, own, "cpu")),
    ]  # fmt: skip
    return Granted(
        memory_bytes=min((limit for limit in memory if limit and limit < _NO_LIMIT_BYTES), default=None),
        cores=min((share for share in cores if share), default=None),
    )


def _folders(mount: Path, own: Path, controller: str) -> Iterator[Path]:
    """Yield the group's folder and those above it; in a container its own path may not be there, and the mount is its group."""
    root = mount / controller
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            folder = root / path.lstrip("/")
            yield folder
            yield from (above for above in folder.parents if above == root or root in above.parents)


def _share(text: str) -> float | None:
    """Read a quota and its period, in microseconds: `max`, or -1 before version 2, is no limit."""
    match text.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) / int(period)
        case _:
            return None


def _number(path: Path) -> int | None:
    return int(text) if (text := _text(path).strip()).isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""What a process that decodes gives up before it sees the first file."""

import ctypes
import os
import resource
import signal
import struct
from typing import Final

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 15, 38  # <linux/prctl.h>
_NAME: Final = b"stt-decode"  # as `ps -e` and `top` show it; at most 15 bytes
_OPEN_FILES: Final = 1_100  # a file for each request that may be under way, and what the interpreter has
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _LANDLOCK_VERSION = 444, 446, 1  # the same number on every architecture
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_LIBRARY: Final = ctypes.CDLL(None, use_errno=True)


class Meter:
    """How much memory this process has asked for: what `RLIMIT_DATA` and `RLIMIT_AS` count."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def bytes_of(self) -> tuple[int, int]:
        """Return the private writable memory and the whole address space, in bytes (proc(5): fields 6 and 1)."""
        pages = os.pread(self._statm, 256, 0).split()
        return int(pages[5]) * _PAGE_BYTES, int(pages[0]) * _PAGE_BYTES


def die_with_parent(parent_pid: int) -> None:
    """End with the thread that started this process, even if it is killed; what arrives at the whole group is for the service.

    A supervisor sends SIGTERM to every process, and a terminal SIGINT: the service finishes what it has begun, so it still
    needs this process, which ends when nobody is left at the other end of its socket.
    """
    _prctl(_PR_SET_NAME, _NAME)
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent_pid:
        os._exit(0)  # it ended before it could be asked for
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def confine(meter: Meter, memory_bytes: int) -> None:
    """Limit this process for good: `memory_bytes` on top of what it has by now, no file written, no core, no privileges.

    Where the kernel has Landlock, it can also open no file any more: what it decodes is handed to it open. And whatever a C
    library prints, dying, reaches nobody's log: it may hold what was in the file.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    data_bytes, address_bytes = meter.bytes_of()
    _limit(resource.RLIMIT_DATA, data_bytes + memory_bytes)
    _limit(resource.RLIMIT_AS, address_bytes + memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _close_off()
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers, 0 or less where it has none."""
    return _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _close_off() -> None:
    """Forbid, as far as the kernel can, to open files, to use TCP, and to signal other processes or look into them.

    Source: landlock(7) and <linux/landlock.h>: what there is to forbid, by version.
    """
    if (version := landlock_version()) < 1:
        return
    n_of_files = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    of_network = 0b11 if version >= 4 else 0
    of_others = 0b11 if version >= 6 else 0
    forbidden = struct.pack("<QQQ", (1 << n_of_files) - 1, of_network, of_others)
    rules = _syscall(_LANDLOCK_CREATE_RULESET, forbidden, len(forbidden), 0)
    if rules >= 0:  # and no exception is added to them
        _syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
        os.close(rules)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    passed = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return int(_LIBRARY.syscall(ctypes.c_long(number), *passed))


def _prctl(option: int, value: int | bytes) -> None:
    if _LIBRARY.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

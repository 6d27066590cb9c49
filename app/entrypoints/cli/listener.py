"""What the kernel shall do about clients that take nothing in, or are gone without a word."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = Path("/proc/self/fd")
_PROBE_S: Final = 10  # between two questions whether a silent client is still there
_LOOK_AGAIN_S: Final = 0.05


def bound_clients(*, stall_s: float) -> None:
    """Have the kernel end connections of this process that acknowledge nothing for `stall_s` seconds; on Linux alone.

    Neither ASGI nor Granian has a time-out for that, and what is written is then Granian's. Connections inherit it from the
    listening socket, which Granian opens itself, a moment after the application has started: it is looked for until then.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT") or not _DESCRIPTORS.exists():
        return
    found = False
    for listener in _listening():
        with listener:
            found = True
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * stall_s))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(stall_s)))
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
    if not found:
        asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, lambda: bound_clients(stall_s=stall_s))


def _listening() -> Iterator[socket.socket]:
    """Yield this process's listening sockets, each under a descriptor of its own."""
    for descriptor in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # it is gone by now
            copy = os.dup(int(descriptor.name))
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)  # a pipe whose end is kept open never ends
                continue
            mine = socket.socket(fileno=copy)
            if mine.type == socket.SOCK_STREAM and mine.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield mine
            else:
                mine.close()

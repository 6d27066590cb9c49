"""A decoder that really crashes, hangs and eats memory where a file says so: what a hole in a C library does, on request."""

import ctypes
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import MODEL_RATE_HZ
from app.domain.ports import Block, DecodeLimits

_MARK: Final = b"TRAP"
_TAIL_BYTES: Final = 1_000


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """What happens once so many seconds were decoded."""

    does: str
    after_s: float = 0.0
    number: int = 0  # what it is depends on what is done


def trapped(wav: bytes, trap: Trap) -> bytes:
    """Return a file with a trap behind its sound."""
    return wav + _MARK + msgspec.json.encode(trap)


class TrappedNormalizer(TorchaudioNormalizer):
    """Decodes as the real one does, until the trap."""

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        _, mark, told = file.read().rpartition(_MARK)
        trap = msgspec.json.decode(told, type=Trap) if mark else None
        heard, held = 0, None
        for block in super().blocks(file, limits=limits):
            yield block
            heard += block.samples.size
            if trap is not None and heard >= trap.after_s * MODEL_RATE_HZ:
                held = _DEEDS[trap.does](trap.number)
                trap = None
                if isinstance(held, Iterator):
                    yield from held
        del held


class NeverStarts(TorchaudioNormalizer):
    """Ends the process that is to use it, and only that one."""

    def __init__(self) -> None:
        if os.environ.get("PYTEST_CURRENT_TEST") is None:
            os._exit(3)


def _crash(_number: int) -> None:
    ctypes.string_at(0)


def _crash_first(pid: int) -> None:
    if os.getpid() == pid:
        os.kill(pid, signal.SIGKILL)


def _die(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _make_way(_number: int) -> None:
    os._exit(0)


def _hang(_number: int) -> None:
    while True:
        signal.pause()


def _eat(_number: int) -> None:
    meals = []
    while True:
        meals.append(np.ones(2**20))


def _hold(n_bytes: int) -> Any:
    return np.ones(n_bytes, np.uint8)


def _fail(_number: int) -> None:
    raise ZeroDivisionError("nobody foresaw this")


def _print(_number: int) -> None:
    print("HEARD", flush=True)
    os.write(2, b"HEARD")


def _reach_out(port: int) -> None:
    """Fail with what a decoder that was taken over can still get at."""
    attempts: dict[str, Callable[[], object]] = {
        "a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "the service's memory": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
        "a folder": lambda: os.mkdir("reached"),
        "the network": lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
        "another process": lambda: os.kill(os.getppid(), 0),
    }
    reached = []
    for name, attempt in attempts.items():
        with suppress(OSError):
            attempt()
            reached.append(name)
    raise RuntimeError(f"reached {', '.join(reached) or 'nothing'}")


def _flood(_number: int) -> Iterator[Block]:
    while True:
        yield Block(np.zeros(10 * MODEL_RATE_HZ, np.float32))


def _lie(_number: int) -> Iterator[Block]:
    yield Block(np.full(100, np.nan, np.float32))


_DEEDS: Final[Mapping[str, Callable[[int], Any]]] = {
    "crash": _crash, "crash first": _crash_first, "die": _die, "make way": _make_way, "hang": _hang, "eat": _eat, "hold": _hold,
    "fail": _fail, "print": _print, "reach out": _reach_out, "flood": _flood, "lie": _lie,
}  # fmt: skip

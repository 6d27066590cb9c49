"""One process that decodes, as the service sees it."""

import itertools
import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from threading import RLock
from time import monotonic
from typing import Final, TypeVar

import msgspec
import numpy as np

from ...domain.audio import Samples
from . import wire
from .turns import Turns
from .wire import Answer, Drop, Open, Orders, Pull, Ready, WireError

_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE")
_SETTINGS: Final = {
    "OPENBLAS_NUM_THREADS": "1",  # there are as many processes as cores may be used
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**20),  # large blocks go back to the kernel when they are freed
}
_BOOT: Final = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[2]); importlib.import_module(sys.argv[1]).main(sys.argv[3])"
)

T = TypeVar("T")


class GoneError(Exception):
    """The process ended before it was asked; the file is not to blame."""


class KilledError(Exception):
    """The process ended while it was asked, and the file is not to blame.

    Somebody killed it, an operator or a kernel out of memory; or it made way for a new one, as it does once memory ran out in it.
    """


class CrashedError(Exception):
    """The process ended by itself, or lost its senses, while it decoded the file."""


class StalledError(Exception):
    """The process said nothing for too long, and was killed."""


class DecodeProcess:
    """Holds files half decoded. Any number of threads may use it; it decodes for one at a time, in the order they came."""

    def __init__(self, normalizer: str, *, memory_bytes: int, stall_s: float) -> None:
        """Start it; it ends with the thread that does.

        Raises:
            OSError: No process can be started.
        """
        self._stall_s = stall_s
        self._socket, theirs = socket.socketpair()
        orders = Orders(normalizer=normalizer, memory_bytes=memory_bytes, parent_pid=os.getpid())
        try:
            with theirs:
                self._process = _started(theirs, orders)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._turns = Turns()
        self._sending = RLock()  # a file's generator may be collected, and so dropped, in the midst of sending
        self._left: deque[int] = deque()  # files nobody wants any more, as far as the process has not been told
        self._numbers = itertools.count()
        self.started_s = monotonic()
        self.ready = False  # these two are the pool's
        self.n_files = 0
        self._lost = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether files may be placed here, as far as is known."""
        return self.ready and not self._lost

    @property
    def n_busy(self) -> int:
        """How many files are decoded or wait for it at this moment."""
        return self._turns.n_inside

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear_ready(self) -> bool:
        """Read the first message, and tell whether it can be used; it has come, or will not."""
        try:
            self._message(Ready, monotonic() + self._stall_s)
        except (EOFError, CrashedError, StalledError):
            return False
        return True

    def number(self) -> int:
        """Return a number for another file."""
        return next(self._numbers)

    def pull(self, job: int, opening: Open | None = None, descriptor: int | None = None) -> tuple[Answer, Samples]:
        """Have a file decoded on for a while; `opening` and `descriptor` open it first.

        Raises:
            GoneError: It was too late to ask.
            KilledError: The process ended meanwhile, for no fault of the file's.
            CrashedError: The process died of it, or what it answered makes no sense.
            StalledError: No answer came in time.
        """
        with self._turns:
            deadline_s = monotonic() + self._stall_s
            try:
                self._ask(job, opening, descriptor, deadline_s)
                return self._answer(deadline_s)
            except EOFError as ended:
                self.kill()
                blameless = self._process.wait() in (0, -signal.SIGKILL)  # 0: it made way. The line above comes after its end
                raise (KilledError if blameless else CrashedError) from ended
            except BaseException:
                self.kill()  # what it would say next is the answer to nothing
                raise

    def drop(self, job: int) -> None:
        """Tell that nobody wants the rest of a file; never waits."""
        self._left.append(job)
        with suppress(OSError):
            self._tell_left()

    def kill(self) -> None:
        """End it at once. Whoever waits for it learns that it is gone."""
        self._lost = True
        self._process.kill()

    def reap(self) -> int:
        """End it, wait for that, and return its exit status: negative for a signal."""
        self.kill()
        status = self._process.wait()
        with self._turns, self._sending:  # whoever was being answered has seen the end by now
            self._socket.close()
        return status

    def _ask(self, job: int, opening: Open | None, descriptor: int | None, deadline_s: float) -> None:
        try:
            self._tell_left()
            if opening is not None:
                self._send(opening, deadline_s, descriptor)
            self._send(Pull(job), deadline_s)
        except OSError as gone:
            raise GoneError from gone

    def _tell_left(self) -> None:
        with self._sending, suppress(BlockingIOError):  # the process is busy: the next who asks tells it
            while self._left:
                job = self._left.popleft()
                try:
                    self._socket.send(wire.packed(Drop(job)))
                except BlockingIOError:
                    self._left.appendleft(job)
                    raise

    def _send(self, message: wire.Request, deadline_s: float, descriptor: int | None = None) -> None:
        data, descriptors = wire.packed(message), [] if descriptor is None else [descriptor]
        while True:
            try:
                with self._sending:
                    socket.send_fds(self._socket, [data], descriptors)  # whole or not at all: it is small
                return
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline_s)

    def _answer(self, deadline_s: float) -> tuple[Answer, Samples]:
        answer = self._message(Answer, deadline_s)
        if not 0 <= answer.n_samples <= wire.MOST_SAMPLES:
            raise CrashedError("an answer has an impossible length")
        data = bytearray(answer.n_samples * np.dtype(np.float32).itemsize)
        self._fill(memoryview(data), deadline_s)
        samples: Samples = np.frombuffer(data, np.float32)
        if not np.isfinite(samples).all():
            raise CrashedError("samples are not finite")
        return answer, samples

    def _message(self, kind: type[T], deadline_s: float) -> T:
        head = bytearray(wire.HEAD_BYTES)
        self._fill(memoryview(head), deadline_s)
        try:
            body = bytearray(wire.length_of(head))
            self._fill(memoryview(body), deadline_s)
            return wire.unpacked(body, kind)
        except WireError as nonsense:
            raise CrashedError from nonsense

    def _fill(self, view: memoryview, deadline_s: float) -> None:
        while view:
            self._wait(select.POLLIN, deadline_s)
            try:
                n_bytes = self._socket.recv_into(view)
            except OSError as broken:
                raise EOFError from broken
            if n_bytes == 0:
                raise EOFError
            view = view[n_bytes:]

    def _wait(self, event: int, deadline_s: float) -> None:
        self._poll.register(self._socket, event)
        if not self._poll.poll(max(0.0, deadline_s - monotonic()) * 1000):
            raise StalledError


def _started(theirs: socket.socket, orders: Orders) -> "subprocess.Popen[bytes]":
    """Start a fresh interpreter that imports what this one would, and inherits neither a secret nor a descriptor."""
    arguments = [f"{__package__}.worker", *(msgspec.json.encode(told).decode() for told in (sys.path, orders))]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT, *arguments],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _SETTINGS,
        start_new_session=True,  # Ctrl-C is for the service
    )

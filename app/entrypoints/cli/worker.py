"""What Granian's worker process runs: the application, and an orderly end of it."""

import asyncio
import multiprocessing
import os
import signal
import sys
from functools import partial
from time import monotonic
from typing import Any, Final

import structlog
from litestar.types import Receive, Scope, Send

from ...container import Container, share_one_arena
from ...domain.errors import SpeechError
from ...settings import Settings
from ..app import create_app
from ..drain import Drain
from ..logs import configure_logs
from . import BEGAN_S
from .listener import bound_clients
from .products import multiply_alone
from .systemd import notify

log = structlog.stdlib.get_logger()

MODEL_FAILED: Final = signal.SIGUSR1  # from the worker to the main process: do not start me again
STOP_S: Final = 10  # from when nothing is under way any more until the process is gone, whatever hangs
_LOST_DRAIN_S: Final = 5.0  # for telling everybody that the model is lost, which takes no longer
_MOST_STARTS: Final = 3  # of workers in a row that end before their model is loaded; then another will not do better
# How long a thread of the model's waits for the next piece of work by spinning before it sleeps; read by libgomp when PyTorch is
# loaded. Its own choice is 15 times as long, and keeps cores from everything else.
_SPINNING: Final = ("GOMP_SPINCOUNT", "20000")


class Starts:
    """How many workers in a row have been started and had no model yet; all processes share it."""

    def __init__(self) -> None:
        self._n = multiprocessing.RawValue("i", 0)
        self._first = multiprocessing.RawValue("b", True)

    def count(self) -> bool:
        """Count one more; False if that is one too many."""
        self._n.value += 1
        return bool(self._n.value <= _MOST_STARTS)

    def began_s(self) -> float:
        """Tell, by `monotonic`, when this start began: the first with the program, that of a worker in another's place now."""
        first, self._first.value = self._first.value, False
        return BEGAN_S if first else monotonic()

    def loaded(self) -> None:
        """Begin to count anew."""
        self._n.value = 0


class Worker:
    """The application of a process that hears signals. SIGTERM is ours, and SIGINT is left to Granian, which cuts off what is open.

    The terminal's Ctrl-C must not reach Granian here: the process leaves the terminal's group, and the main process passes it on.
    """

    def __init__(self, settings: Settings, starts: Starts) -> None:
        share_one_arena()  # before there are threads
        multiply_alone()
        os.environ.setdefault(*_SPINNING)
        os.setpgid(0, 0)
        self._main_pid, self._starts = os.getppid(), starts
        self._began_s = self._loading_s = starts.began_s()
        if not starts.count():
            self._give_up(f"the process has ended {_MOST_STARTS} times before its model was loaded")
            sys.exit(1)
        configure_logs(settings)
        container = Container(settings=settings, own_process=True)
        self._settings, self._engine, self._drain = settings, container.engine(), Drain()
        self._app = create_app(container, drain=self._drain, on_model_failed=self._model_failed)
        self._engine.loaded.add_done_callback(lambda loaded: None if loaded.exception() else self._ready())
        self._leaving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]  # the type knows requests alone
            self._loading_s = monotonic()
            self._listen()
        await self._app(scope, receive, send)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave, "asked to", self._settings.drain_s)
        if parent := multiprocessing.parent_process():
            loop.add_reader(parent.sentinel, self._orphaned, parent.sentinel)
        lost = partial(loop.call_soon_threadsafe, self._leave, "the model is lost", _LOST_DRAIN_S)
        self._engine.broken.add_done_callback(lambda _failure: lost())
        bound_clients(stall_s=self._settings.stall_s)

    def _ready(self) -> None:
        self._starts.loaded()
        notify("READY=1")
        took = {"start_s": self._loading_s - self._began_s, "load_s": monotonic() - self._loading_s}
        log.info("service_ready", **{name: round(took_s, 3) for name, took_s in took.items()})

    def _orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        self._leave("the main process is gone", self._settings.drain_s)

    def _leave(self, reason: str, within_s: float) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._finish(reason, within_s))

    async def _finish(self, reason: str, within_s: float) -> None:
        log.info("drain_began", reason=reason, within_s=within_s)
        self._drain.begin(within_s=within_s)
        left = await self._drain.wait()
        (log.warning if left else log.info)("drain_ended", cut_off=left)
        signal.alarm(STOP_S)  # by default it ends the process, whatever Python and the libraries in it are at
        os.kill(os.getpid(), signal.SIGINT)

    def _model_failed(self, failure: BaseException) -> None:
        self._give_up(str(failure) if isinstance(failure, SpeechError) else "")

    def _give_up(self, told: str) -> None:
        if told:
            print(f"parakeet-stt: {told}", file=sys.stderr, flush=True)
        if os.getppid() == self._main_pid:  # else it is gone, and the number somebody else's
            os.kill(self._main_pid, MODEL_FAILED)


def application(settings: Settings, starts: Starts) -> Any:
    """Build the application in Granian's worker process."""
    return Worker(settings, starts)

"""`parakeet-stt serve`: Granian, one worker, one model."""

import math
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from granian.server.common import AbstractServer

from ...settings import Settings, SettingsError
from ..key_file import check_key_file
from ..keys import KeysError
from ..logs import GRANIAN_LOGS, configure_logs
from ..traces import check_traces
from .systemd import notify
from .tls import check_tls
from .worker import MODEL_FAILED, STOP_S, Starts, application

MARGIN_S: Final = 5  # a worker that is still there so long after it should have ended is killed
_OTHER_FILES: Final = 1024  # what the interpreter, the model and libraries hold open


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 1 if the model could not be had, the port is taken, or a second signal came.

    Raises:
        SettingsError: A file that the settings name cannot be used, or traces are wanted and cannot be sent.
    """
    check_files(settings)
    check_traces(settings)
    if fault := taken(settings):
        print(f"parakeet-stt: cannot listen on {settings.host}:{settings.port}: {fault}", file=sys.stderr)
        return 1
    configure_logs(settings)
    server = Server(
        "parakeet-stt",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.asyncio,
        # HTTP/2 offers our clients nothing, and while it is offered no time-out holds for a client that sends no byte.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=round(1000 * settings.connection_idle_s)),
        backpressure=connections(settings),
        websockets=True,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(settings.drain_s) + STOP_S + MARGIN_S,
        log_level=LogLevels.warning,
        log_dictconfig=GRANIAN_LOGS,
        process_name=None,
        ssl_cert=_path(settings.tls_cert),
        ssl_key=_path(settings.tls_key),
    )
    starts, orders = Starts(), _Orders(server)
    server.on_startup(orders.listen)
    server.serve(target_loader=lambda: application(settings, starts), wrap_loader=False)
    return orders.status


class _Orders:
    """The signals of the main process. The first has the worker finish what is under way, the second ends it at once."""

    def __init__(self, server: AbstractServer[Any]) -> None:
        self._server, self._stopping = server, False
        self._hangup = signal.getsignal(signal.SIGHUP)  # as whoever started us wants it
        self.status = 0

    def listen(self) -> None:
        """Listen instead of Granian, which has just installed handlers of its own."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        # Granian's own would load a second model beside the first; a terminal that closes means what Ctrl-C does, unless `nohup`.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if self._hangup is signal.SIG_IGN else self._stop)
        signal.signal(MODEL_FAILED, self._fail)

    def _stop(self, _number: int, _frame: object) -> None:
        if self._stopping:
            self.status = 1
            for worker in self._server.wrks:
                worker.kill()
        self._stopping = True
        notify("STOPPING=1")
        self._server.signal_handler_interrupt()  # type: ignore[no-untyped-call]  # Granian's, untyped

    def _fail(self, number: int, frame: object) -> None:
        self.status = 1
        if not self._stopping:
            self._stop(number, frame)


def check_files(settings: Settings) -> None:
    """Try the files that the settings name, but for the model.

    Raises:
        SettingsError: One cannot be used.
    """
    check_tls(settings)
    if path := _path(settings.api_keys_file):
        try:
            check_key_file(path)
        except KeysError as fault:
            raise SettingsError(f"api_keys_file: {path}: {fault}") from fault


def _path(named: str) -> Path | None:
    return Path(named) if named else None


def taken(settings: Settings) -> OSError | None:
    """Try the address: Granian shares ports, so that two services on one would split the clients between them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as fault:
        return fault
    return None


def connections(settings: Settings) -> int:
    """Return how many connections there may be, after raising the limit of open files as far as need be and is allowed."""
    others = _OTHER_FILES + 2 * settings.max_live_sessions
    wanted = others + 2 * settings.max_connections  # a connection, and the file that its upload goes to
    soft, hard = (math.inf if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < min(wanted, hard):
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return settings.max_connections if soft >= wanted else int(max(1, (soft - others) / 2, soft / 4))

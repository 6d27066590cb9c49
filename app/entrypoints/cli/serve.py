"""`parakeet-stt serve`: Granian, one worker, one model."""

import os
import signal
import socket
import sys
from typing import Any, Final

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from ...container import Container
from ...domain.errors import SpeechError
from ...settings import Settings
from ..app import create_app
from ..logs import configure_logs

# How long a thread of the model's waits for the next piece of work by spinning before it sleeps; read by libgomp when PyTorch is
# loaded. Its own choice is 15 times as long, and keeps cores from everything else.
_SPINNING: Final = ("GOMP_SPINCOUNT", "20000")
_MODEL_FAILED: Final = signal.SIGUSR1  # from the worker to the main process: do not start me again


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 1 if the model could not be had or the port is taken."""
    failed = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal failed
        failed = True
        os.kill(os.getpid(), signal.SIGTERM)

    if fault := _taken(settings):
        print(f"parakeet-stt: cannot listen on {settings.host}:{settings.port}: {fault}", file=sys.stderr)
        return 1
    signal.signal(_MODEL_FAILED, stop)
    server = Server(
        "parakeet-stt",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=True,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        process_name=None,
    )
    server.serve(target_loader=lambda: _application(settings), wrap_loader=False)
    return 1 if failed else 0


def _taken(settings: Settings) -> OSError | None:
    """Try the address: Granian shares ports, so that two services on one would split the clients between them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as fault:
        return fault
    return None


def _application(settings: Settings) -> Any:
    """Build the application in Granian's worker process."""
    os.environ.setdefault(*_SPINNING)
    configure_logs(settings)
    return create_app(Container(settings=settings), on_model_failed=_give_up)


def _give_up(failure: BaseException) -> None:
    if isinstance(failure, SpeechError):
        print(f"parakeet-stt: {failure}", file=sys.stderr, flush=True)
    os.kill(os.getppid(), _MODEL_FAILED)

"""Talks to the real service with the ruler as its model, and looks at its processes."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpx
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from bench.troubled_ruler import float_wav, said

from .service import Service

PATIENCE_S: Final = 240.0  # with what takes a moment on an idle machine; no test is about that
PATH: Final = "/v1/audio/transcriptions"


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.01)


def ask(service: Service, *numbers: int) -> httpx.Response:
    """Send words as a file."""
    return httpx.post(service.url + PATH, files={"file": float_wav(said(*numbers))}, timeout=PATIENCE_S)


def opened(service: Service, path: str, **options: Any) -> ClientConnection:
    url = f"{service.url.replace('http', 'ws', 1)}{path}"
    return connect(url, open_timeout=PATIENCE_S, ping_interval=None, proxy=None, **options)


def rest_of(socket: Connection) -> tuple[list[dict[str, Any]], int]:
    """Read until the service closes; return the messages and the close code, 0 where none came."""
    messages: list[dict[str, Any]] = []
    while True:
        try:
            messages.append(json.loads(socket.recv(PATIENCE_S)))
        except ConnectionClosed as closed:
            return messages, closed.rcvd.code if closed.rcvd else 0


def wait_until_heard(socket: Connection) -> None:
    """Send what is answered with an error, which comes when all that was sent before has been heard."""
    socket.send('{"type": "are you there"}')
    while "error" not in json.loads(socket.recv(PATIENCE_S)):
        pass


def worker_of(service: Service) -> psutil.Process:
    return psutil.Process(service.process.pid).children()[0]


def family_of(process: psutil.Process) -> list[psutil.Process]:
    """Return a process with all that it has started."""
    return [process, *process.children(recursive=True)]


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether all of them have ended; who waits for their status is another question."""
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)

"""The service under test: a real process, started as an operator would."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil

from .child import ROOT, BenchError, last_lines

CONSOLE_SCRIPT: Final = Path(sys.executable).parent / "parakeet-stt"
_PATIENCE_S: Final = 900.0  # a model of gigabytes from a slow disk
_STOP_S: Final = 30.0  # for requests under way
SERVE: Final = (str(CONSOLE_SCRIPT), "serve")
RULER: Final = (sys.executable, "-m", "bench.ruler_service")  # real but for the model, which reads words out of samples
INSTANT: Final = (sys.executable, "-m", "bench.outside")  # the same without the model's time


class Service(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A service that is ready."""

    url: str
    process: psutil.Process


@contextmanager
def running_service(settings: Mapping[str, str], *, log_path: Path, command: tuple[str, ...] = SERVE) -> Iterator[Service]:
    """Start the service with `settings` (STT_ variables) alone, wait until it is ready, and end it on leaving.

    It has a session of its own, so that Ctrl-C reaches the benchmark first, which then ends it properly.

    Raises:
        BenchError: It ended, or is not ready in time.
    """
    port = free_port()
    environment = {**other_variables(), "STT_PORT": str(port), **settings}
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ok(url + "/readyz", process, log_path=log_path, patience_s=_PATIENCE_S)
        yield Service(url=url, process=psutil.Process(process.pid))
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Stop the service as an operator would, and kill all of it if it does not stop: a worker must not stay behind."""
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        for one in (process, *family):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def wait_until_ok(
    url: str, process: "subprocess.Popen[bytes]", *, log_path: Path, patience_s: float, verify: ssl.SSLContext | bool = True
) -> None:
    """Ask `url` until it answers 200.

    Raises:
        BenchError: `process` ended, or it takes too long; the error shows the end of its log.
    """
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise BenchError(f"the service ended with {process.returncode}:\n{last_lines(log_path)}")
        try:
            if httpx.get(url, verify=verify).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    raise BenchError(f"no 200 from {url} within {patience_s:.0f} s:\n{last_lines(log_path)}")


def other_variables() -> dict[str, str]:
    """Return this process's environment without settings of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STT_")}


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""Starts the real service as an operator would: the console script, settings from the environment, a port of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec

CONSOLE_SCRIPT: Final = Path(sys.executable).parent / "parakeet-stt"
_PATIENCE_S: Final = 120.0  # NeMo takes 6 to 12 s to import on an idle machine; no test is about that


class Service(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A service that was started; `log_path` holds its standard error and output."""

    url: str
    process: "subprocess.Popen[bytes]"
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until_alive(self) -> None:
        """Wait for the first answer of `/healthz`."""
        self._wait_for("/healthz")

    def wait_until_ready(self) -> None:
        """Wait for the model."""
        self._wait_for("/readyz")

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)

    def _wait_for(self, path: str) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.log}")
            try:
                if httpx.get(self.url + path).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
        raise AssertionError(f"no 200 from {path} within {_PATIENCE_S} s:\n{self.log}")


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_service(*, command: str = "serve", settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Start the service with the bundled model and `settings` (STT_ variables) on top; it is ended on leaving."""
    port = free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("STT_")}
    environment = {**own, "STT_MODEL": "bundled", "STT_PORT": str(port), **(settings or {})}
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen([CONSOLE_SCRIPT, command], env=environment, stdout=log, stderr=log)
        try:
            yield Service(url=f"http://127.0.0.1:{port}", process=process, log_path=log_path)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

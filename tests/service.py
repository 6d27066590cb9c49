"""Starts the real service as an operator would: the console script, settings from the environment, a port of its own."""

import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.child import ROOT
from bench.service import CONSOLE_SCRIPT, free_port, other_variables, wait_until_ok

running: Final[list["Service"]] = []  # what runs now: a test that fails shows their logs
_PATIENCE_S: Final = 240.0  # NeMo takes 6 to 12 s to import on an idle machine; no test is about that


class Service(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A service that was started; `log_path` holds its standard error and output, `trust` knows its certificate."""

    url: str
    trust: ssl.SSLContext | None = None
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
        wait_until_ok(self.url + path, self.process, log_path=self.log_path, patience_s=_PATIENCE_S, verify=self.trust or True)


@contextmanager
def running_service(
    *,
    command: str = "serve",
    program: Sequence[str] | None = None,
    settings: Mapping[str, str] | None = None,
    trust: ssl.SSLContext | None = None,
) -> Iterator[Service]:
    """Start the service with the bundled model and `settings` (variables) on top; it is ended on leaving.

    Args:
        program: Another one that serves, in the place of our command.
        trust: What a client over TLS believes.
    """
    port = free_port()
    environment = {**other_variables(), "STT_MODEL": "bundled", "STT_PORT": str(port), **(settings or {})}
    started = program or (str(CONSOLE_SCRIPT), command)
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(started, cwd=ROOT, env=environment, stdout=log, stderr=log)
        url = f"{'https' if trust else 'http'}://127.0.0.1:{port}"
        running.append(service := Service(url=url, trust=trust, process=process, log_path=log_path))
        try:
            yield service
        finally:
            running.remove(service)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

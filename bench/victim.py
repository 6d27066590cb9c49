"""The service as an operator's machine runs it: started again on the same port, its log read, its processes at hand."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import psutil

from .child import ROOT, BenchError
from .service import free_port, other_variables

_PATIENCE_S: Final = 240.0  # for a model to be loaded, on a busy machine
_LOOK_S: Final = 0.05
_SHOWN: Final = 20  # lines of text, and of JSON, of a service that ended too soon
_OF_PYTORCH: Final = "torchinductor_"
DECODER: Final = "stt-decode"  # what the processes that decode are called


class Victim:
    """One service after another on the same port. `events` is what all of them have logged; `spoke` are their other lines."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], *, uploads: Path) -> None:
        """Prepare; uploads go to the folder `uploads`."""
        self._command, self._port = command, free_port()
        self._environment = {
            **other_variables(), **settings, "STT_PORT": str(self._port), "STT_LOG_FORMAT": "json", "TMPDIR": str(uploads),
        }  # fmt: skip
        self.uploads = uploads
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self.events: list[dict[str, Any]] = []
        self.spoke: list[str] = []
        self.family: set[psutil.Process] = set()  # every process that was ever seen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def main(self) -> psutil.Process:
        if self._process is None:
            raise BenchError("no service has been started")
        return psutil.Process(self._process.pid)

    def worker(self) -> psutil.Process | None:
        """Return the process that serves; None while there is none."""
        with suppress(psutil.NoSuchProcess):
            return next(iter(self.main.children()), None)
        return None

    def decoders(self) -> list[psutil.Process]:
        """Return the processes that decode."""
        worker = self.worker()
        if worker is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [child for child in worker.children(recursive=True) if child.name().startswith(DECODER)]
        return []

    def left_files(self) -> list[str]:
        """Return the temporary files that have a name, but for the folder that PyTorch keeps for each user."""
        return sorted(path.name for path in self.uploads.iterdir() if not path.name.startswith(_OF_PYTORCH))

    def start(self) -> None:
        """Start it, in a session of its own."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        reader.start()
        self._readers.append(reader)

    def wait_until_ready(self, *, other_than: psutil.Process | None = None) -> float:
        """Wait for readiness, of another worker than the one named; return how long it took, in seconds.

        Raises:
            BenchError: The service has ended, or it takes too long.
        """
        began_s = time.monotonic()
        while (waited_s := time.monotonic() - began_s) < _PATIENCE_S:
            if self._process and self._process.poll() is not None:
                self._readers[-1].join(_LOOK_S)  # what it said last
                told = [*self.spoke[-_SHOWN:], *map(str, self.events[-_SHOWN:])]
                raise BenchError(f"the service ended with {self._process.returncode}:\n" + "\n".join(told))
            with suppress(httpx.TransportError):
                if self.worker() != other_than and httpx.get(f"{self.url}/readyz").status_code == httpx.codes.OK:
                    self.remember()
                    return waited_s
            time.sleep(_LOOK_S)
        raise BenchError(f"the service was not ready within {_PATIENCE_S:.0f} s")

    def remember(self) -> None:
        """Take note of the processes there are, so that none is forgotten in the end."""
        with suppress(psutil.NoSuchProcess):
            self.family.update([self.main, *self.main.children(recursive=True)])

    def wait_until_ended(self) -> int:
        """Wait for the main process, and for its log to be read; return its status.

        Raises:
            BenchError: It takes too long.
        """
        if self._process is None:
            raise BenchError("no service has been started")
        try:
            status = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise BenchError("the service does not end") from None
        return status

    def survivors(self) -> list[psutil.Process]:
        """Return the processes that have not ended, of all that were seen."""
        alive = [process for process in self.family if process.is_running()]
        return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        """End everything, and wait until the log is read."""
        with suppress(psutil.NoSuchProcess, BenchError):
            if self.main.is_running():
                self.main.send_signal(signal.SIGTERM)
                self.wait_until_ended()
        for process in self.survivors():
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(_PATIENCE_S)

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        for line in process.stdout or ():
            try:
                event = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                self.spoke.append(line.decode(errors="replace").rstrip())
            else:
                self.events.append(event)

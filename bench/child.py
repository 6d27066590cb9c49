"""Children of the benchmark: each measures in a process of its own and is given one job at a time.

A job is a line of JSON on standard input, its answer a line on standard output; what libraries print goes to the log.
A child ends when its input does, so none outlives the benchmark.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec
import psutil

T = TypeVar("T")
ROOT: Final = Path(__file__).parents[1]
_SHOWN_LOG_LINES: Final = 30


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


class Child:
    """The parent's side of a child."""

    def __init__(self, module: str, *arguments: str, log_path: Path) -> None:
        """Start `python -m module arguments`; its standard error goes to `log_path`."""
        self._name, self._log_path = module, log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def begin(self, job: msgspec.Struct) -> None:
        """Hand over a job and do not wait."""
        if self._process.stdin is None:
            raise BenchError(f"{self._name} has no input")
        try:
            self._process.stdin.write(msgspec.json.encode(job) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def result(self, kind: type[T]) -> T:
        """Wait for the answer to the last job, or for the greeting that says the child is ready.

        Raises:
            BenchError: The child ended; the error shows the end of its log.
        """
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise self._ended()
        return msgspec.json.decode(line, type=kind)

    def ask(self, job: msgspec.Struct, kind: type[T]) -> T:
        """Hand over a job and wait for its answer."""
        self.begin(job)
        return self.result(kind)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _failure: BaseException | None, _traceback: TracebackType | None) -> None:
        self._process.kill()  # it holds nothing that must be put away
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _ended(self) -> BenchError:
        return BenchError(f"{self._name} ended with {self._process.wait()}:\n{last_lines(self._log_path)}")


def last_lines(path: Path) -> str:
    """Return the end of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:])


def work(job: Any, start: Callable[[], tuple[msgspec.Struct, Callable[[Any], msgspec.Struct]]]) -> None:
    """The child's side: do jobs until there are no more.

    Args:
        job: The type of a job, or a union of tagged ones.
        start: Does what takes long; returns the greeting and what does a job.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # NeMo and its libraries print
        greeting, do = start()
        said: msgspec.Struct = greeting
        while True:
            answers.write(msgspec.json.encode(said) + b"\n")
            answers.flush()
            line = sys.stdin.buffer.readline()
            if not line:
                return
            said = do(msgspec.json.decode(line, type=job))

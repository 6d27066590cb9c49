"""Do slow clients make others wait? `just slow-clients`

`python -m bench.slow` compares the latencies of honest requests, at a fixed rate, with and without hundreds of uploads that dribble
and sockets that say nothing. Both take turns, so that a machine that is slow for a while hurts both alike.
"""

import argparse
import asyncio
import heapq
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.table import Table

from .child import ROOT, BenchError
from .clips import ClipFile
from .flags import console, guarded
from .load import Client, LoadJob
from .service import SERVE, Service, running_service
from .statistics import OK, even_arrivals, percentile_ms

_HEAD: Final = (
    b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: any\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    b'content-length: 1000000\r\n\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
)
_DRIBBLE_S: Final = 1.0  # between two bytes of an upload
_HELD: Final = "all are connected"
_CLIP: Final = ClipFile(path=str(ROOT / "app" / "samples" / "hello.wav"), duration_s=3.42)
_MOST_SLOWER: Final = 0.2
_WARM_UP: Final = 20  # requests


def _hold(url: str, n_dribbling: int, n_idle: int, *, in_step: bool) -> None:
    """Be the slow clients, for ever: one that is cut off comes again. On plain sockets, which take the least of the machine."""
    where, n_all = urlsplit(url), n_dribbling + n_idle
    address, began_s = (where.hostname or "", where.port or 80), time.monotonic()
    due = [(began_s if in_step else began_s + _DRIBBLE_S * i / n_all, i) for i in range(n_all)]  # ordered, so a heap
    open_ones, reading, reported = dict[int, socket.socket](), selectors.DefaultSelector(), False

    def leave(i: int) -> None:
        reading.unregister(open_ones[i])
        open_ones.pop(i).close()

    def come(i: int) -> None:
        open_ones[i] = socket.create_connection(address)
        open_ones[i].setblocking(False)
        reading.register(open_ones[i], selectors.EVENT_READ, i)

    while True:
        if due and due[0][0] <= time.monotonic():
            at_s, i = heapq.heappop(due)
            with suppress(OSError):  # cut off, which is read below; or refused, and it comes again
                if is_new := i not in open_ones:
                    come(i)
                if i < n_dribbling:
                    open_ones[i].send(_HEAD if is_new else b"x")
            if i < n_dribbling or i not in open_ones:
                heapq.heappush(due, (at_s + _DRIBBLE_S, i))
            if not reported and len(open_ones) == n_all:
                reported = True
                print(_HELD, flush=True)
            continue
        for key, _ in reading.select(due[0][0] - time.monotonic() if due else None):
            told = b""
            with suppress(OSError):
                told = open_ones[key.data].recv(65_536)
            if not told:
                leave(key.data)
                if key.data >= n_dribbling:
                    heapq.heappush(due, (time.monotonic(), key.data))


@contextmanager
def _slow_clients(service: Service, given: argparse.Namespace) -> Iterator[None]:
    """Have slow clients, in a process of their own."""
    numbers = ["--dribbling", str(given.dribbling), "--idle", str(given.idle), *(["--in-step"] if given.in_step else [])]
    command = [sys.executable, "-m", "bench.slow", "--hold", service.url, *numbers]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holding:
        try:
            if not holding.stdout or holding.stdout.readline().strip() != _HELD:
                raise BenchError("the slow clients did not connect")
            yield
        finally:
            holding.kill()


def _latencies_ms(service: Service, *, rate_per_s: float, seconds: float) -> list[float]:
    """Send honest requests; all must be answered."""
    arrivals_s = even_arrivals(rate_per_s, seconds)
    job = LoadJob(files=[_CLIP], order=[0] * len(arrivals_s), url=service.url, arrivals_s=arrivals_s)
    answers = asyncio.run(Client(job).run(time.monotonic() + 0.2))
    if bad := [answer.status for answer in answers if answer.status != OK]:
        raise BenchError(f"{len(bad)} honest requests of {len(answers)} were not answered with 200, but with {set(bad)}")
    return [answer.latency_ms for answer in answers]


def main() -> int:
    """Run, print, and return 0 if honest requests are hardly slower."""
    parser = argparse.ArgumentParser(
        prog="just slow-clients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dribbling", type=int, default=300, help="Uploads that bring a byte a second. Default: 300.")
    parser.add_argument("--idle", type=int, default=200, help="Sockets that say nothing. Default: 200.")
    parser.add_argument("--in-step", action="store_true", help="All slow clients do all they do in the same moments.")
    parser.add_argument("--rate", type=float, default=4.0, help="Honest requests per second. Default: 4.")
    parser.add_argument("--seconds", type=float, default=30.0, help="How long each turn is. Default: 30.")
    parser.add_argument("--rounds", type=int, default=5, help="Turns of each kind. Default: 5.")
    parser.add_argument("--hold", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        _hold(given.hold, given.dribbling, given.idle, in_step=given.in_step)
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service({"STT_MODEL": "bundled"}, log_path=Path(folder) / "log", command=SERVE) as service,
    ):
        _latencies_ms(service, rate_per_s=given.rate, seconds=_WARM_UP / given.rate)
        for _ in range(given.rounds):
            alone.append(_latencies_ms(service, rate_per_s=given.rate, seconds=given.seconds))
            with _slow_clients(service, given):
                beside.append(_latencies_ms(service, rate_per_s=given.rate, seconds=given.seconds))
    table = Table(
        title=f"Honest requests, {given.rate:g}/s, beside {given.dribbling} dribbling uploads and {given.idle} idle sockets"
    )
    for column in ("ms, medians of the rounds", "alone", "beside them", "change"):
        table.add_column(column, justify="left" if column.startswith("ms") else "right")
    changes = {}
    for percent in (50, 95, 99):
        before, after = (statistics.median(percentile_ms(turn, percent) or 0.0 for turn in turns) for turns in (alone, beside))
        changes[percent] = after / before - 1
        table.add_row(f"p{percent}", f"{before:.1f}", f"{after:.1f}", f"{changes[percent]:+.0%}")
    console().print(table)
    return 0 if changes[99] <= _MOST_SLOWER else 1


if __name__ == "__main__":
    sys.exit(guarded("slow-clients", main))

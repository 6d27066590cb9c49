"""Do slow clients make others wait? `just slow-clients`

`python -m bench.slow` compares the latencies of honest requests, at a fixed rate, with and without hundreds of uploads that dribble
and sockets that say nothing. Both take turns, so that a machine that is slow for a while hurts both alike.
"""

import argparse
import asyncio
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


async def _hold(url: str, n_dribbling: int, n_idle: int, *, in_step: bool) -> None:
    """Be the slow clients, for ever: one that is cut off comes again."""
    where, held, n_all = urlsplit(url), 0, n_dribbling + n_idle
    reported = asyncio.Event()

    async def slow(i: int, *, dribbles: bool) -> None:
        nonlocal held
        first = True
        await asyncio.sleep(0 if in_step else _DRIBBLE_S * i / n_all)
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
                writer.write(_HEAD if dribbles else b"")
                held += first
                first = False
                if held == n_all:
                    reported.set()
                reading = asyncio.create_task(reader.read())
                while not (await asyncio.wait({reading}, timeout=_DRIBBLE_S))[0]:
                    writer.write(b"x" if dribbles else b"")
                writer.close()
                await reading

    slow_ones = [asyncio.create_task(slow(i, dribbles=i < n_dribbling)) for i in range(n_all)]
    await reported.wait()
    print(_HELD, flush=True)
    await asyncio.gather(*slow_ones)


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
        asyncio.run(_hold(given.hold, given.dribbling, given.idle, in_step=given.in_step))
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

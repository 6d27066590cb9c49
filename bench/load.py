"""The client: requests over HTTP in closed loop or at fixed arrivals. `python -m bench.load`, a child of the benchmark."""

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import msgspec

from .child import work
from .clips import ClipFile
from .statistics import OK, UNANSWERED, Answer, fingerprint

_URL: Final = "/v1/audio/transcriptions"


class LoadJob(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Requests to send once `Go` says when, with `files[i]` for i of `order`.

    In closed loop `concurrency` senders each send the next as soon as their last is answered. With `arrivals_s` request
    number i is sent that many seconds after the start whatever the others do, and its latency counts from then: a client
    that waits for a slow server before it sends on would leave out just the requests that would have waited longest.
    """

    files: list[ClipFile]
    order: list[int]
    url: str = ""  # of the service, filled in when the job is handed over
    path: str = _URL
    fields: dict[str, str] = {}
    concurrency: int = 1
    arrivals_s: list[float] | None = None
    timeout_s: float = 60.0  # after its arrival a request without answer is given up


class Go(msgspec.Struct, frozen=True, kw_only=True, tag="go"):
    """Start with the job that was handed over, at this time of the machine's monotonic clock: for all clients the same."""

    start_s: float


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One answer for each request, in no order."""

    answers: list[Answer]


class Ready(msgspec.Struct, frozen=True):
    """The greeting, and the answer to a job: files are read and forms are made, nothing is sent."""


class _Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A form, encoded once: the client's work is not what is measured."""

    body: bytes
    headers: dict[str, str]


class Client:
    """Sends the requests of one job; made ready before the clock starts."""

    def __init__(self, job: LoadJob) -> None:
        self._job = job
        self._uploads = {i: _encoded(job.files[i].path, job.fields) for i in set(job.order)}

    async def run(self, start_s: float) -> list[Answer]:
        """Send everything, from `start_s` on."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(base_url=self._job.url, limits=limits, timeout=None) as http:  # noqa: S113  # a deadline holds
            await asyncio.sleep(start_s - time.monotonic())
            if self._job.arrivals_s is None:
                return await self._closed(http)
            return await self._open(http, [start_s + arrival_s for arrival_s in self._job.arrivals_s])

    async def _closed(self, http: httpx.AsyncClient) -> list[Answer]:
        answers: list[Answer] = []
        waiting = iter(self._job.order)

        async def sender() -> None:
            for clip in waiting:
                answers.append(await self._send(http, clip, time.monotonic()))  # noqa: PERF401  # several senders share one list

        await asyncio.gather(*(sender() for _ in range(self._job.concurrency)))
        return answers

    async def _open(self, http: httpx.AsyncClient, due_times_s: list[float]) -> list[Answer]:
        sent = []
        for clip, due_s in zip(self._job.order, due_times_s, strict=True):
            await asyncio.sleep(due_s - time.monotonic())
            sent.append(asyncio.create_task(self._send(http, clip, due_s)))
        return await asyncio.gather(*sent)

    async def _send(self, http: httpx.AsyncClient, clip: int, due_s: float) -> Answer:
        upload = self._uploads[clip]
        try:
            async with asyncio.timeout(due_s + self._job.timeout_s - time.monotonic()):
                got = await http.post(self._job.path, content=upload.body, headers=upload.headers)
        except (TimeoutError, httpx.HTTPError):
            return Answer(clip=clip, due_s=due_s, done_s=time.monotonic(), status=UNANSWERED)
        done_s = time.monotonic()
        said = got.json() if got.status_code == OK else {}
        return Answer(
            clip=clip,
            due_s=due_s,
            done_s=done_s,
            status=got.status_code,
            audio_s=said.get("usage", {}).get("seconds", self._job.files[clip].duration_s),  # `/transcribe` does not say
            tokens=len(said["logprobs"]) if "logprobs" in said else None,
            text=fingerprint(said.get("text", "")),
        )


def _encoded(path: str, fields: dict[str, str]) -> _Upload:
    request = httpx.Request(
        "POST", "http://upload", data=fields, files={"file": (Path(path).name, Path(path).read_bytes(), "audio/wav")}
    )
    return _Upload(body=request.read(), headers={"content-type": request.headers["content-type"]})


def split(job: LoadJob, n_clients: int) -> Iterator[LoadJob]:
    """Share a job among clients; together they send what it says, when it says so."""
    n_clients = min(n_clients, job.concurrency) if job.arrivals_s is None else n_clients
    for i in range(n_clients):
        yield msgspec.structs.replace(
            job,
            order=job.order[i::n_clients],
            concurrency=len(range(i, job.concurrency, n_clients)),
            arrivals_s=None if job.arrivals_s is None else job.arrivals_s[i::n_clients],
        )


def _start() -> tuple[Ready, Callable[[LoadJob | Go], Ready | Loaded]]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # in overload every request may wait on a connection of its own
    prepared: list[Client] = []

    def do(job: LoadJob | Go) -> Ready | Loaded:
        if isinstance(job, LoadJob):
            prepared[:] = [Client(job)]
            return Ready()
        return Loaded(answers=asyncio.run(prepared.pop().run(job.start_s)))

    return Ready(), do


if __name__ == "__main__":
    work(LoadJob | Go, _start)

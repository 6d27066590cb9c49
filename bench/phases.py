"""One phase: a job for a reference or a service, and what it took."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from .child import Child
from .clips import ClipFile
from .load import Go, Loaded, LoadJob, Ready, split
from .metrics import batches_between, scrape
from .reference import Ran, RunJob
from .results import Measure
from .service import Service
from .statistics import OK, Answer, goodput_per_s, summary
from .usage import Usage, device_memory_mb

_HEAD_START_S: Final = 0.1  # for the word to reach all clients
_SETTLED_SHARE: Final = 0.2  # of an overload that passes before goodput counts


class Clients:
    """The processes that send requests."""

    def __init__(self, n_clients: int, folder: Path) -> None:
        self._n_clients, self._folder = n_clients, folder
        self._stack = ExitStack()
        self._children: list[Child] = []

    def __enter__(self) -> "Clients":
        for i in range(self._n_clients):
            child = self._stack.enter_context(Child("bench.load", log_path=self._folder / f"client-{i}.log"))
            child.result(Ready)
            self._children.append(child)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _failure: BaseException | None, _traceback: TracebackType | None) -> None:
        self._stack.close()

    def send(self, job: LoadJob, service: Service) -> tuple[list[Answer], Usage, Usage]:
        """Send everything; returns the answers, and what the service and the clients used meanwhile."""
        whole = msgspec.structs.replace(job, url=service.url)
        busy = list(zip(self._children, split(whole, self._n_clients), strict=False))
        for child, share in busy:
            child.ask(share, Ready)
        with Usage([service.process]) as of_service, Usage([child.process for child, _ in busy]) as of_clients:
            start_s = time.monotonic() + _HEAD_START_S
            for child, _ in busy:
                child.begin(Go(start_s=start_s))
            answers = [answer for child, _ in busy for answer in child.result(Loaded).answers]
        return answers, of_service, of_clients


def over_http(clients: Clients, service: Service, job: LoadJob, texts: Sequence[int] | None = None) -> Measure:
    """Send a job and sum it up. In overload see `overloaded`."""
    return _sent(clients, service, job, texts)[0]


def overloaded(clients: Clients, service: Service, job: LoadJob, *, lasts_s: float) -> Measure:
    """Send more than can be served for `lasts_s`; what is answered well while arrivals last is its rate.

    Its first fifth does not count: the queue fills. Nor does what comes after the last arrival.
    """
    measure, answers = _sent(clients, service, job, None)
    start_s = min(answer.due_s for answer in answers)
    window = {"from_s": start_s + _SETTLED_SHARE * lasts_s, "until_s": start_s + lasts_s}
    rate = goodput_per_s(answers, **window)
    mean_audio_s = sum(job.files[i].duration_s for i in job.order) / len(job.order)
    return msgspec.structs.replace(measure, requests_per_s=rate, audio_s_per_s=rate * mean_audio_s)


def _sent(clients: Clients, service: Service, job: LoadJob, texts: Sequence[int] | None) -> tuple[Measure, list[Answer]]:
    before = scrape(service.url)
    answers, of_service, of_clients = clients.send(job, service)
    after = scrape(service.url)
    wall_s = max(answer.done_s for answer in answers) - min(answer.due_s for answer in answers)
    n_good = sum(answer.status == OK for answer in answers)
    measure = msgspec.structs.replace(
        summary(answers, wall_s=wall_s, texts=texts),
        cores=of_service.cpu_s / wall_s,
        client_cores=of_clients.cpu_s / wall_s,
        core_ms_per_request=1000 * of_service.cpu_s / n_good if n_good else None,
        memory_mb=of_service.memory_mb,
        device_memory_mb=device_memory_mb(service.process),
        **batches_between(before, after),
    )
    return measure, answers


def of_reference(child: Child, files: Sequence[ClipFile], *, batch_size: int = 0, texts: Sequence[int] | None = None) -> Measure:
    """Have a reference transcribe files: one call for each, or one for all with `batch_size`."""
    return referred(child, files, batch_size=batch_size, texts=texts)[0]


def referred(
    child: Child, files: Sequence[ClipFile], *, batch_size: int = 0, texts: Sequence[int] | None = None
) -> tuple[Measure, list[int]]:
    """As `of_reference`, with the texts' fingerprints."""
    with Usage([child.process]) as used:
        ran = child.ask(RunJob(paths=[file.path for file in files], batch_size=batch_size), Ran)
    audio_s = sum(file.duration_s for file in files)
    called = summary(
        [
            Answer(clip=i, due_s=0.0, done_s=call_s, status=OK, audio_s=0.0)
            for i, call_s in enumerate(ran.call_s if not batch_size else [])
        ],
        wall_s=ran.wall_s,
    )
    measure = msgspec.structs.replace(
        called,
        audio_s_per_s=audio_s / ran.wall_s,
        requests_per_s=len(files) / ran.wall_s,
        tokens_per_audio_s=ran.tokens / audio_s,
        cores=used.cpu_s / ran.wall_s,
        core_ms_per_request=1000 * used.cpu_s / len(files),
        memory_mb=used.memory_mb,
        device_memory_mb=ran.device_memory_mb,
        same_text=sum(map(int.__eq__, ran.texts, texts)) / len(files) if texts else None,
        requests=len(files),
    )
    return measure, ran.texts

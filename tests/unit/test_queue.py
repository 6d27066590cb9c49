"""Jobs and their answers."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.domain.audio import silence
from app.domain.errors import RecognitionError, SpeechError
from app.domain.ports import Options
from app.domain.queue import Queue
from app.domain.transcript import Transcript


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that give way to one another as often as can be."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("restless")
def test_two_threads_may_answer_at_once_and_one_of_them_does() -> None:
    """As where a call is given up and comes back after all."""
    queue = Queue(max_waiting_s=1.0)
    jobs = [queue.add(silence(0.1), Options(), live=False, tentative=False, now_s=0.0) for _ in range(3_000)]
    together = Barrier(2)

    def settle(outcome: Transcript | SpeechError) -> None:
        for job in jobs:
            together.wait(30)
            job.settle(outcome)

    with ThreadPoolExecutor(2) as threads:
        for settling in [threads.submit(settle, outcome) for outcome in (Transcript(), RecognitionError("given up"))]:
            settling.result()
    assert all(job.answer.done() for job in jobs)

"""In which order the sound of live sessions is heard, and that nobody waits for a call that never comes."""

import threading
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest

from app.entrypoints.websocket.worker import Worker

PATIENCE_S: Final = 30.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    opened = Worker()
    yield opened
    opened.close()


def test_calls_that_can_wait_come_after_all_others_and_else_in_order(worker: Worker) -> None:
    let_go, order = threading.Event(), list[int]()
    worker.submit(lambda: let_go.wait(PATIENCE_S))
    answers = [worker.submit(partial(order.append, i), can_wait=i % 3 == 0) for i in range(9)]
    let_go.set()
    for answer in answers:
        answer.result(PATIENCE_S)
    assert order == [1, 2, 4, 5, 7, 8, 0, 3, 6]


def test_a_call_that_fails_is_told_to_whoever_waits_for_it_and_the_next_one_runs(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0).result(PATIENCE_S)
    assert worker.submit(lambda: 2).result(PATIENCE_S) == 2


def test_a_call_that_was_cancelled_in_time_is_not_made(worker: Worker) -> None:
    let_go, made = threading.Event(), list[int]()
    worker.submit(lambda: let_go.wait(PATIENCE_S))
    cancelled = worker.submit(lambda: made.append(1))
    assert cancelled.cancel()
    let_go.set()
    worker.submit(lambda: made.append(2)).result(PATIENCE_S)
    assert made == [2]


def test_what_was_queued_is_done_before_the_end_and_nothing_is_taken_after_it() -> None:
    worker = Worker()
    answers = [worker.submit(partial(int, i), can_wait=i % 2 == 0) for i in range(10)]
    worker.close()
    assert [answer.result(0) for answer in answers] == list(range(10))
    with pytest.raises(RuntimeError, match="closed"):
        worker.submit(lambda: 0)

"""A lock is handed on in the order in which it was asked for."""

import time
from concurrent.futures import ThreadPoolExecutor

from app.adapters.processes.turns import Turns


def test_turns_come_in_the_order_they_were_asked_for() -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        with turns:
            order.append(number)

    with ThreadPoolExecutor(8) as threads, turns:
        for number in range(8):
            threads.submit(take, number)
            while turns.n_inside < number + 2:
                time.sleep(0)
    assert order == list(range(8))
    assert turns.n_inside == 0


def test_whoever_takes_it_again_at_once_comes_after_those_who_wait() -> None:
    turns, order = Turns(), []

    def wait() -> None:
        with turns:
            order.append("waited")

    with ThreadPoolExecutor(1) as threads:
        with turns:
            threads.submit(wait)
            while turns.n_inside < 2:
                time.sleep(0)
        with turns:
            order.append("again")
    assert order == ["waited", "again"]


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns()
    try:
        with turns:
            raise LookupError
    except LookupError:
        pass
    with turns:
        assert turns.n_inside == 1

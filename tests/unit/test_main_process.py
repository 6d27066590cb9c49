"""What the main process decides before and beside serving: how many connections there may be, and when to give up."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from app.entrypoints.cli.serve import connections
from app.entrypoints.cli.worker import Starts
from app.settings import Settings


def in_a_process(work: Callable[[], object]) -> object:
    """Return what `work` returns in a process of its own, whose limits are nobody else's."""

    def run(answer: Connection) -> None:
        answer.send(work())

    forking = multiprocessing.get_context("fork")
    theirs, ours = forking.Pipe()
    child = forking.Process(target=run, args=(theirs,))
    child.start()
    found: object = ours.recv()
    child.join()
    return found


@pytest.mark.parametrize(
    ("soft", "hard", "left", "served"),
    [
        (256, 10_000, 3_136, 1_024),  # raised to what is needed
        (5_000, 10_000, 5_000, 1_024),  # enough as it is
        (256, 3_088, 3_088, 1_000),  # what may be had shared between connections and their uploads
        (256, 256, 256, 64),
    ],
)
def test_open_files_are_made_to_suffice_or_connections_are_fewer(soft: int, hard: int, left: int, served: int) -> None:
    def work() -> tuple[int, int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        n = connections(Settings())
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0], n

    assert in_a_process(work) == (left, served)


def test_a_fourth_start_without_a_model_in_between_is_one_too_many_and_all_processes_count() -> None:
    starts = Starts()
    assert [in_a_process(starts.count) for _ in range(3)] == [True, True, True]
    assert not starts.count()
    starts.loaded()
    assert starts.count()

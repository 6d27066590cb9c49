"""Whatever a file does to its decoder, it does to nobody else."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from dependency_injector import providers

from app.adapters.processes.normalizer import ProcessNormalizer
from app.container import Container
from app.domain.audio import MODEL_RATE_HZ
from app.domain.errors import AudioRejectedError, AudioTooLongError, OverloadedError
from app.settings import Settings
from app.testing.contracts_audio import joined
from tests.adapters.decoding import (
    PATIENCE_S,
    Trouble,
    alone,
    begin,
    decoder_of,
    heard,
    long_recording,
    pool,
    recording,
    wait_until,
)
from tests.adapters.traps import NeverStarts, Trap, trapped


def test_a_crash_ends_one_request_and_the_process_is_replaced() -> None:
    with pool() as (normalizer, troubles):
        before = decoder_of(normalizer).pid
        with pytest.raises(AudioRejectedError, match="the file makes its decoder fail"):
            heard(normalizer, trapped(recording(1), Trap(does="crash", after_s=2)))
        np.testing.assert_array_equal(heard(normalizer, recording(2)), alone(recording(2)))
        assert decoder_of(normalizer).pid != before
        assert [(event, facts["status"]) for event, facts in troubles] == [("decode_process_ended", -signal.SIGSEGV)] * 2


def test_files_that_rest_in_a_process_that_dies_are_decoded_on_elsewhere() -> None:
    resting = [long_recording(seed) for seed in (1, 2, 3)]
    with pool() as (normalizer, _):
        steps = [begin(normalizer, data) for data in resting]
        begun = [[next(blocks)] for blocks in steps]
        with pytest.raises(AudioRejectedError):
            heard(normalizer, trapped(recording(4), Trap(does="crash", after_s=2)))
        begun[0].append(next(steps[0]))
        with pytest.raises(AudioRejectedError):
            heard(normalizer, trapped(recording(5), Trap(does="crash")))
        for data, first, rest in zip(resting, begun, steps, strict=True):
            assert joined(first).size < 35 * MODEL_RATE_HZ
            np.testing.assert_array_equal(joined([*first, *rest]), alone(data))


def test_a_file_whose_process_is_killed_under_it_is_decoded_all_the_same() -> None:
    with pool() as (normalizer, troubles):
        first = decoder_of(normalizer).pid
        data = trapped(long_recording(1), Trap(does="crash first", after_s=20, number=first))
        np.testing.assert_array_equal(heard(normalizer, data), alone(data))
        assert [facts["status"] for _, facts in troubles] == [-signal.SIGKILL]


def test_a_file_whose_processes_are_all_killed_is_to_come_again() -> None:
    with pool() as (normalizer, troubles):
        with pytest.raises(OverloadedError, match="there is no room to decode the file"):
            heard(normalizer, trapped(recording(1), Trap(does="die")))
        np.testing.assert_array_equal(heard(normalizer, recording(2)), alone(recording(2)))
        assert [facts["status"] for _, facts in troubles] == [-signal.SIGKILL] * 5


def test_a_file_whose_processes_all_make_way_is_to_come_again() -> None:
    """As they do where memory ran out: it may be sent to one after the other, just when what was before it had eaten all."""
    with pool() as (normalizer, troubles):
        with pytest.raises(OverloadedError, match="there is no room to decode the file"):
            heard(normalizer, trapped(recording(1), Trap(does="make way")))
        np.testing.assert_array_equal(heard(normalizer, recording(2)), alone(recording(2)))
        assert [facts["status"] for _, facts in troubles] == [0] * 5


def test_an_idle_process_that_is_killed_is_replaced() -> None:
    with pool() as (normalizer, troubles):
        before = decoder_of(normalizer)
        before.kill()
        wait_until(lambda: troubles)
        assert normalizer.can_decode  # soon: there is another in a moment
        assert decoder_of(normalizer).pid != before.pid
        assert not before.is_running()


def test_a_process_that_hangs_is_killed_and_the_others_go_on() -> None:
    with pool(processes=2, stall_s=3) as (normalizer, troubles), ThreadPoolExecutor(1) as thread:
        resting = begin(normalizer, long_recording(1))
        first = next(resting)
        stuck = thread.submit(heard, normalizer, trapped(recording(2), Trap(does="hang", after_s=1)))
        np.testing.assert_array_equal(heard(normalizer, recording(3)), alone(recording(3)))
        with pytest.raises(AudioRejectedError, match="decoding the file came to no end"):
            stuck.result(PATIENCE_S)
        np.testing.assert_array_equal(joined([first, *resting]), alone(long_recording(1)))
        wait_until(lambda: troubles)
        assert [facts["status"] for _, facts in troubles] == [-signal.SIGKILL]


def test_what_nobody_foresaw_is_told_and_leaves_the_process_alive(shared: ProcessNormalizer) -> None:
    before = decoder_of(shared).pid
    with pytest.raises(RuntimeError, match="decoding failed: ZeroDivisionError: nobody foresaw this"):
        heard(shared, trapped(recording(1), Trap(does="fail", after_s=2)))
    assert decoder_of(shared).pid == before


def test_a_decoder_that_was_taken_over_cannot_send_what_it_likes() -> None:
    with pool() as (normalizer, _):
        with pytest.raises(AudioRejectedError, match="the file makes its decoder fail"):
            heard(normalizer, trapped(recording(1), Trap(does="lie")))
        with pytest.raises(AudioTooLongError):
            heard(normalizer, trapped(recording(1), Trap(does="flood")))


def test_processes_that_cannot_start_are_told_and_files_are_refused() -> None:
    troubles: list[Trouble] = []
    normalizer = ProcessNormalizer(NeverStarts(), stall_s=1, on_trouble=lambda event, **facts: troubles.append((event, facts)))
    with closing(normalizer):
        wait_until(lambda: troubles)
        with pytest.raises(OverloadedError, match="no process is ready to decode"):
            heard(normalizer, recording(1))
        with pytest.raises(OverloadedError, match="no process is ready to decode"):
            normalizer.wait_until_ready()
        assert len(troubles) >= 3
        assert not normalizer.can_decode
        container = Container(settings=Settings())
        container.normalizer.override(providers.Object(normalizer))
        assert not container.decodes()
    pauses_s = [0.5, 1.0, 2.0]
    told = [("decode_process_not_started", {"status": 3, "next_try_s": pause_s}) for pause_s in pauses_s]
    assert troubles == told[: len(troubles)]

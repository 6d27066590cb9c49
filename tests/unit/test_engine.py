"""The engine with real threads: whose result is whose, who runs together, and what happens when something goes wrong."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.batching import BatchRules
from app.domain.engine import Engine
from app.domain.errors import (
    DeviceFailedError,
    ModelNotReadyError,
    ModelUnavailableError,
    OverloadedError,
    RecognitionError,
)
from app.domain.pace import BatchReport
from app.domain.ports import DeviceMemory, Options, Recognizer, RecognizerFacts, ReplicaNumbers
from app.domain.transcript import Transcript
from app.testing.recognizers import FAKE_FACTS, FakeRecognizer, GatedRecognizer

PATIENCE_S: Final = 30.0  # no test waits for this long unless it fails
OPTIONS: Final = Options()


class AbsentRecognizer:
    """A fake on another machine, which is not there while `absent`."""

    def __init__(self, inner: FakeRecognizer | None = None) -> None:
        self.inner = inner or FakeRecognizer(says_its_size)
        self.absent, self.n_replicas = False, 1
        self.n_calls = 0

    @property
    def facts(self) -> RecognizerFacts:
        return self.inner.facts

    def configuration(self) -> Mapping[str, Any]:
        return self.inner.configuration()

    def device_memory(self) -> DeviceMemory | None:
        return self.inner.device_memory()

    def check_reachable(self) -> None:
        if self.absent:
            raise ModelNotReadyError("nobody is there", retry_after_s=7)

    def n_running(self) -> int:
        return 0 if self.absent else self.n_replicas

    def replicas(self) -> Sequence[ReplicaNumbers]:
        return ()

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        self.n_calls += 1
        self.check_reachable()
        return self.inner.recognize(clips, options)


class MiscountingRecognizer:
    """Gives as many results as `n_results` makes of the number of clips."""

    def __init__(self, n_results: Callable[[int], int]) -> None:
        self._n_results = n_results
        self._inner = FakeRecognizer(says_its_size)

    @property
    def facts(self) -> RecognizerFacts:
        return self._inner.facts

    def configuration(self) -> Mapping[str, Any]:
        return self._inner.configuration()

    def device_memory(self) -> DeviceMemory | None:
        return self._inner.device_memory()

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        results = self._inner.recognize(clips, options)
        return (results * 2)[: self._n_results(len(clips))]


def says_its_size(clip: Clip) -> str:
    return f"n{clip.samples.size}"


def clip_of(n_samples: int) -> Clip:
    return Clip(np.full(n_samples, 0.25, np.float32))


def seconds(duration_s: float) -> Clip:
    return clip_of(round(duration_s * MODEL_RATE_HZ))


def engine_for(
    load: Callable[[], Recognizer],
    *,
    max_waiting_s: float = 10_000.0,
    linger_s: float = 0.0,
    failures: list[BaseException] | None = None,
) -> Engine:
    told = (list[BaseException]() if failures is None else failures).append
    return Engine(load, now_s=monotonic, max_waiting_s=max_waiting_s, rules=BatchRules(linger_s=linger_s), on_failure=told)


@contextmanager
def running(
    recognizer: Recognizer, *, max_waiting_s: float = 10_000.0, linger_s: float = 0.0, failures: list[BaseException] | None = None
) -> Iterator[Engine]:
    engine = engine_for(lambda: recognizer, max_waiting_s=max_waiting_s, linger_s=linger_s, failures=failures)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    try:
        yield engine
    finally:
        if isinstance(recognizer, GatedRecognizer):
            recognizer.let_go.set()
        engine.close()


@contextmanager
def busy(
    inner: FakeRecognizer,
    *,
    max_waiting_s: float = 10_000.0,
    linger_s: float = 0.0,
    failures: list[BaseException] | None = None,
) -> Iterator[tuple[Engine, GatedRecognizer, "Future[Transcript]"]]:
    """An engine whose recogniser stands still in its first batch, of one clip of half a second."""
    gated = GatedRecognizer(inner)
    with running(gated, max_waiting_s=max_waiting_s, linger_s=linger_s, failures=failures) as engine:
        first = engine.submit(seconds(0.5), OPTIONS)
        assert gated.entered.wait(PATIENCE_S)
        yield engine, gated, first


def test_every_result_goes_to_its_owner_under_many_threads() -> None:
    with running(FakeRecognizer(says_its_size), linger_s=0.001) as engine, ThreadPoolExecutor(64) as pool:

        def ask(i: int) -> tuple[int, str]:
            n_samples = 1_600 + i * 7
            return n_samples, engine.submit(clip_of(n_samples), OPTIONS, live=i % 3 == 0).result(PATIENCE_S).text

        for n_samples, text in pool.map(ask, range(640)):
            assert text == f"n{n_samples}"


def test_clips_of_different_requests_run_as_one_batch() -> None:
    recognizer = FakeRecognizer(says_its_size)
    with busy(recognizer) as (engine, gated, first):
        with ThreadPoolExecutor(8) as pool:
            waiting = list(pool.map(lambda i: engine.submit(clip_of(16_000 + i), OPTIONS), range(8)))
        gated.let_go.set()
        assert [answer.result(PATIENCE_S).text for answer in (first, *waiting)] == ["n8000", *(f"n{16_000 + i}" for i in range(8))]
    assert recognizer.batches == [1, 8]


def test_a_batch_is_no_larger_than_the_recogniser_prefers() -> None:
    recognizer = FakeRecognizer()
    with busy(recognizer) as (engine, gated, _):
        waiting = [engine.submit(seconds(20), OPTIONS) for _ in range(7)]
        gated.let_go.set()
        wait(waiting, PATIENCE_S)
    assert recognizer.batches == [1, 3, 3, 1]


def test_live_clips_overtake_files() -> None:
    recognizer = FakeRecognizer()
    with busy(recognizer) as (engine, gated, _):
        waiting = [engine.submit(seconds(1), OPTIONS), engine.submit(seconds(2), OPTIONS, live=True)]
        gated.let_go.set()
        wait(waiting, PATIENCE_S)
    assert [clip.duration_s for clip in recognizer.heard] == [0.5, 2.0, 1.0]


def test_a_lone_clip_does_not_wait_for_ever() -> None:
    with running(FakeRecognizer("Alone."), linger_s=0.005) as engine:
        assert engine.submit(seconds(1), OPTIONS).result(PATIENCE_S).text == "Alone."


@pytest.mark.parametrize("poisonous", range(7))
def test_a_poisonous_clip_fails_alone(poisonous: int) -> None:
    failures: list[BaseException] = []
    recognizer = FakeRecognizer(says_its_size, fails_on=lambda clip: clip.samples.size == 16_000 + poisonous)
    with busy(recognizer, failures=failures) as (engine, gated, _):
        waiting = [engine.submit(clip_of(16_000 + i), OPTIONS) for i in range(7)]
        gated.let_go.set()
        for i, answer in enumerate(waiting):
            if i != poisonous:
                assert answer.result(PATIENCE_S).text == f"n{16_000 + i}"
        failure = waiting[poisonous].exception(PATIENCE_S)
        assert engine.submit(seconds(3), OPTIONS).result(PATIENCE_S).text == "n48000"  # the engine goes on
    assert isinstance(failure, RecognitionError)
    assert isinstance(failure.__cause__, RuntimeError)
    assert "fake" not in str(failure)  # the cause is for the log
    assert failures == [failure.__cause__]


def test_a_cancelled_clip_costs_no_model_time() -> None:
    recognizer = FakeRecognizer()
    with busy(recognizer) as (engine, gated, first):
        cancelled, kept = engine.submit(seconds(1), OPTIONS), engine.submit(seconds(2), OPTIONS)
        assert cancelled.cancel()
        gated.let_go.set()
        assert first.result(PATIENCE_S).text == kept.result(PATIENCE_S).text == "Hello there."
    assert [clip.duration_s for clip in recognizer.heard] == [0.5, 2.0]


def test_who_cancels_while_the_batch_runs_waits_no_longer_and_the_others_get_theirs() -> None:
    with busy(FakeRecognizer(says_its_size)) as (engine, gated, first):
        second = engine.submit(seconds(1), OPTIONS)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(first.result)
            assert first.cancel()
            assert isinstance(waiting.exception(PATIENCE_S), CancelledError)  # though the recogniser still stands still
        gated.let_go.set()
        assert second.result(PATIENCE_S).text == "n16000"


def test_clips_that_nobody_waits_for_any_more_are_not_tried_again() -> None:
    waiting: list[Future[Transcript]] = []

    def fails_after_three_have_left(clip: Clip) -> bool:
        if clip.samples.size >= 16_000:
            for answer in waiting[1:]:
                answer.cancel()
        return clip.samples.size == 16_003

    recognizer = FakeRecognizer(says_its_size, fails_on=fails_after_three_have_left)
    with busy(recognizer) as (engine, gated, _):
        waiting += [engine.submit(clip_of(16_000 + i), OPTIONS) for i in range(4)]
        gated.let_go.set()
        assert waiting[0].result(PATIENCE_S).text == "n16000"
    assert recognizer.batches == [1, 4, 1]


def test_a_queue_of_cancelled_clips_wakes_nobody() -> None:
    recognizer = FakeRecognizer()
    with busy(recognizer) as (engine, gated, _):
        assert all(engine.submit(seconds(1), OPTIONS).cancel() for _ in range(20))
        gated.let_go.set()
    assert recognizer.batches == [1]


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    with busy(FakeRecognizer(), max_waiting_s=10.0) as (engine, _, _first):
        engine.submit(seconds(6), OPTIONS)
        engine.submit(seconds(4), OPTIONS)
        with pytest.raises(OverloadedError) as refused:
            engine.submit(seconds(0.1), OPTIONS, live=True)
        assert refused.value.retry_after_s >= 1


def test_cancelled_and_finished_clips_make_room() -> None:
    with busy(FakeRecognizer(), max_waiting_s=10.0) as (engine, gated, first):
        engine.submit(seconds(10), OPTIONS).cancel()
        waiting = engine.submit(seconds(10), OPTIONS)
        gated.let_go.set()
        wait([first, waiting], PATIENCE_S)
        again = [engine.submit(seconds(5), OPTIONS) for _ in range(2)]
        wait(again, PATIENCE_S)
        assert all(answer.result().text for answer in again)


def test_a_clip_longer_than_the_whole_queue_is_taken_when_nobody_waits() -> None:
    with busy(FakeRecognizer(), max_waiting_s=1.0) as (engine, gated, _):
        long = engine.submit(seconds(30), OPTIONS)
        gated.let_go.set()
        assert long.result(PATIENCE_S).text == "Hello there."


def test_nothing_is_taken_before_the_model_is_loaded() -> None:
    may_load = threading.Event()

    def load() -> Recognizer:
        assert may_load.wait(PATIENCE_S)
        return FakeRecognizer()

    engine = engine_for(load)
    engine.start()
    assert engine.state == "loading"
    for ask in (lambda: engine.submit(seconds(1), OPTIONS), engine.recognizer):
        with pytest.raises(ModelNotReadyError, match="loading") as refused:
            ask()
        assert refused.value.retry_after_s >= 1
    may_load.set()
    engine.loaded.result(PATIENCE_S)
    assert str(engine.state) == "ready"  # str: the type checker takes a state for what it was
    assert engine.recognizer().facts.model_id == "fake"
    assert engine.submit(seconds(1), OPTIONS).result(PATIENCE_S).text == "Hello there."
    engine.close()


@pytest.mark.parametrize(
    ("raised", "told"), [(ModelUnavailableError("set STT_MODEL"), "set STT_MODEL"), (OSError("/secret"), "could not be loaded")]
)
def test_a_model_that_does_not_load_is_reported(raised: Exception, told: str) -> None:
    def load() -> Recognizer:
        raise raised

    failures: list[BaseException] = []
    engine = engine_for(load, failures=failures)
    engine.start()
    failure = engine.loaded.exception(PATIENCE_S)
    assert isinstance(failure, ModelUnavailableError)
    assert told in str(failure)
    assert "secret" not in str(failure)
    assert failures == [raised]
    assert engine.state == "failed"
    with pytest.raises(ModelNotReadyError, match="could not be loaded"):
        engine.submit(seconds(1), OPTIONS)
    with pytest.raises(ModelNotReadyError, match="could not be loaded"):
        engine.recognizer()
    engine.close()


class Undescribed(FakeRecognizer):
    """Loads, and cannot say what it is."""

    @property
    def facts(self) -> RecognizerFacts:
        raise KeyError("no facts")


def test_a_recogniser_that_cannot_say_what_it_is_is_one_that_does_not_load() -> None:
    failures: list[BaseException] = []
    engine = engine_for(Undescribed, failures=failures)
    engine.start()
    assert isinstance(engine.loaded.exception(PATIENCE_S), ModelUnavailableError)
    assert [type(failure) for failure in failures] == [KeyError]
    assert engine.state == "failed"
    engine.close()


def test_closing_finishes_what_is_queued_and_refuses_the_rest() -> None:
    recognizer = FakeRecognizer(says_its_size)
    with busy(recognizer) as (engine, gated, first):
        waiting = [engine.submit(clip_of(16_000 + i), OPTIONS) for i in range(5)]
        closing = threading.Thread(target=engine.close)
        closing.start()
        while engine.state != "closed":
            closing.join(0.001)
        with pytest.raises(ModelNotReadyError, match="going down"):
            engine.submit(seconds(1), OPTIONS)
        assert not any(answer.done() for answer in (first, *waiting))
        gated.let_go.set()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        assert [answer.result(0).text for answer in waiting] == [f"n{16_000 + i}" for i in range(5)]


def test_closing_does_not_wait_for_company_of_the_last_clip() -> None:
    with busy(FakeRecognizer(), linger_s=3_600.0) as (engine, gated, _):
        waiting = [engine.submit(seconds(1), OPTIONS) for _ in range(2)]
        gated.let_go.set()
        wait(waiting, PATIENCE_S)
        answer = engine.submit(seconds(1), OPTIONS)  # after a batch of two it waits for a second clip
        assert not answer.done()
        engine.close()
        assert answer.result(0).text == "Hello there."


def test_closing_while_the_model_loads_leaves_nothing_running() -> None:
    may_load = threading.Event()

    def load() -> Recognizer:
        assert may_load.wait(PATIENCE_S)
        return FakeRecognizer()

    engine = engine_for(load)
    engine.start()
    closing = threading.Thread(target=engine.close)
    closing.start()
    may_load.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert engine.state == "closed"
    with pytest.raises(ModelNotReadyError):
        engine.recognizer()


def test_an_engine_that_was_never_started_closes_too() -> None:
    engine = engine_for(FakeRecognizer)
    engine.close()
    engine.close()
    assert engine.state == "closed"


@pytest.mark.parametrize("n_results", [lambda _n_clips: 0, lambda n_clips: n_clips + 1], ids=["none", "one too many"])
def test_a_wrong_number_of_results_is_nobodys_result(n_results: Callable[[int], int]) -> None:
    with running(MiscountingRecognizer(n_results), linger_s=0.01) as engine:
        waiting = [engine.submit(seconds(1), OPTIONS) for _ in range(3)]
        for answer in waiting:
            assert isinstance(answer.exception(PATIENCE_S), RecognitionError)


def test_results_missing_from_a_batch_are_asked_for_again() -> None:
    with running(MiscountingRecognizer(lambda n_clips: max(1, n_clips - 1)), linger_s=0.05) as engine:
        waiting = [engine.submit(clip_of(16_000 + i), OPTIONS) for i in range(6)]
        assert [answer.result(PATIENCE_S).text for answer in waiting] == [f"n{16_000 + i}" for i in range(6)]


class RaisingRecognizer(FakeRecognizer):
    """Raises `failure` for every batch of more than `most` clips, or with one of more than `longest` samples."""

    def __init__(self, failure: BaseException, *, most: int = 0, longest: int = 1 << 60) -> None:
        super().__init__(says_its_size)
        self._failure, self._most, self._longest = failure, most, longest

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        if len(clips) > self._most or any(clip.samples.size > self._longest for clip in clips):
            self.batches.append(len(clips))
            raise self._failure
        return super().recognize(clips, options)


def test_a_batch_too_large_for_memory_is_halved_until_it_fits() -> None:
    recognizer = RaisingRecognizer(MemoryError("out of memory"), most=2)
    with busy(recognizer) as (engine, gated, _):
        waiting = [engine.submit(clip_of(16_000 + i), OPTIONS) for i in range(8)]
        gated.let_go.set()
        assert [answer.result(PATIENCE_S).text for answer in waiting] == [f"n{16_000 + i}" for i in range(8)]
    assert recognizer.batches == [1, 8, 4, 2, 2, 4, 2, 2]


def test_a_clip_too_large_for_memory_by_itself_fails_alone() -> None:
    recognizer = RaisingRecognizer(MemoryError("out of memory"), most=8, longest=20_000)
    with busy(recognizer) as (engine, gated, _):
        sizes = (16_000, 20_001, 16_001, 16_002)
        waiting = [engine.submit(clip_of(size), OPTIONS) for size in sizes]
        gated.let_go.set()
        told = [answer.exception(PATIENCE_S) or answer.result().text for answer in waiting]
        assert engine.submit(clip_of(16_003), OPTIONS).result(PATIENCE_S).text == "n16003"
    assert isinstance(told.pop(1), RecognitionError)
    assert told == ["n16000", "n16001", "n16002"]


@pytest.mark.parametrize(
    "failure", [DeviceFailedError("the device is lost"), SystemExit(), KeyError("a defect of the engine's own")]
)
def test_everybody_is_answered_when_the_device_or_the_owner_is_lost(failure: BaseException) -> None:
    """The last case: a listener that raises ends the thread as any defect outside the recogniser would."""
    failures: list[BaseException] = []
    recognizer = RaisingRecognizer(failure, most=1 if isinstance(failure, KeyError) else 0)
    gated = GatedRecognizer(recognizer)
    engine = engine_for(lambda: gated, failures=failures)

    def listener(_report: BatchReport) -> None:
        if isinstance(failure, KeyError):
            raise failure

    engine.on_batch(listener)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    first = engine.submit(seconds(0.5), OPTIONS)
    assert gated.entered.wait(PATIENCE_S)
    waiting = [engine.submit(seconds(1), OPTIONS, live=live) for live in (True, False)]
    gated.let_go.set()
    for answer in waiting:
        assert isinstance(answer.exception(PATIENCE_S), ModelNotReadyError)
    assert isinstance(first.exception(PATIENCE_S), ModelNotReadyError) or isinstance(failure, KeyError)
    assert engine.broken.result(PATIENCE_S) is failure
    assert engine.state == "broken"
    assert failures == [failure]
    with pytest.raises(ModelNotReadyError, match="started again"):
        engine.submit(seconds(1), OPTIONS)
    engine.close()


def test_a_call_that_does_not_come_back_can_be_given_up_and_everybody_is_answered() -> None:
    """The recogniser stands still with one clip, another waits; when it comes back in the end, nobody hears of it twice."""
    lost = DeviceFailedError("a batch does not come back")
    failures: list[BaseException] = []
    with busy(FakeRecognizer(), failures=failures) as (engine, gated, first):
        second = engine.submit(seconds(1), OPTIONS)
        assert engine.runs_for_s > 0
        engine.give_up(lost)
        engine.give_up(lost)  # once is enough
        for answer in (first, second):
            assert isinstance(answer.exception(PATIENCE_S), ModelNotReadyError)
        assert engine.broken.result(PATIENCE_S) is lost
        assert failures == [lost]
        with pytest.raises(ModelNotReadyError, match="started again"):
            engine.submit(seconds(1), OPTIONS)
        engine.close()  # does not wait for what may never end
        gated.let_go.set()
    assert failures == [lost]


def test_nothing_runs_while_nothing_is_asked() -> None:
    with running(FakeRecognizer()) as engine:
        assert engine.submit(seconds(1), OPTIONS).result(PATIENCE_S).text
        deadline_s = monotonic() + PATIENCE_S
        while engine.runs_for_s and monotonic() < deadline_s:
            pass  # the answer comes a moment before the call is over
        assert engine.runs_for_s == 0.0


def test_what_was_admitted_is_taken_though_the_queue_is_full() -> None:
    with busy(FakeRecognizer(), max_waiting_s=1.0) as (engine, gated, _):
        waiting = [engine.submit(seconds(1), OPTIONS)]
        with pytest.raises(OverloadedError):
            engine.submit(seconds(1), OPTIONS)
        waiting.append(engine.submit(seconds(1), OPTIONS, admitted=True))
        assert engine.queue.n_clips == 2
        assert engine.queue.audio_s == pytest.approx(2.0)
        gated.let_go.set()
        assert [answer.result(PATIENCE_S).text for answer in waiting] == ["Hello there."] * 2
    assert engine.queue.n_clips == 0
    assert engine.queue.audio_s == pytest.approx(0.0)


class Meter:
    """Counts how many batches are under way, and lets each go only when as many are as can be."""

    def __init__(self, places: int) -> None:
        self.met = threading.Barrier(places)

    def __call__(self, _clip: Clip) -> str:
        self.met.wait(PATIENCE_S)  # breaks, and fails the batch, unless `places` batches run at once
        return "met"


def test_as_many_batches_run_at_once_as_the_recogniser_allows() -> None:
    facts = msgspec.structs.replace(FAKE_FACTS, max_concurrent_batches=3)
    with running(FakeRecognizer(Meter(3), facts=facts)) as engine:
        waiting = [engine.submit(seconds(4**i), OPTIONS) for i in range(3)]  # too unlike to share a batch
        assert [answer.result(PATIENCE_S).text for answer in waiting] == ["met"] * 3


def test_no_more_batches_are_taken_than_replicas_run() -> None:
    """What is taken and must wait for a replica would let nothing pass that is more urgent."""
    entered, let_go = threading.Semaphore(0), threading.Event()

    def held(_clip: Clip) -> str:
        entered.release()
        let_go.wait(PATIENCE_S)
        return "said"

    facts = msgspec.structs.replace(FAKE_FACTS, max_concurrent_batches=3)
    recognizer = AbsentRecognizer(FakeRecognizer(held, facts=facts))
    with running(recognizer) as engine:
        waiting = [engine.submit(seconds(4**i), OPTIONS) for i in range(3)]  # too unlike to share a batch
        assert entered.acquire(timeout=PATIENCE_S)
        assert not entered.acquire(timeout=0.1)
        assert engine.queue.n_clips == 2
        recognizer.n_replicas = 2
        assert entered.acquire(timeout=PATIENCE_S)
        assert not entered.acquire(timeout=0.1)
        let_go.set()
        wait(waiting, PATIENCE_S)


def test_the_next_batch_is_handed_over_while_one_runs_but_only_when_it_is_full() -> None:
    facts = msgspec.structs.replace(FAKE_FACTS, max_concurrent_batches=2, prepares_ahead=True)
    recognizer = FakeRecognizer(says_its_size, facts=facts)
    with busy(recognizer) as (engine, gated, _):
        gated.entered.clear()
        waiting = [engine.submit(seconds(20), OPTIONS) for _ in range(2)]
        assert not gated.entered.wait(0.05)
        assert engine.queue.n_clips == 2
        waiting.append(engine.submit(seconds(20), OPTIONS))
        assert gated.entered.wait(PATIENCE_S)
        assert engine.queue.n_clips == 0
        gated.let_go.set()
        wait(waiting, PATIENCE_S)
    assert sorted(recognizer.batches) == [1, 3]


def test_file_batches_are_short_while_a_live_session_is_open() -> None:
    """The clock is the recogniser's: a batch takes an eighth of its padded seconds, and 0.4 s is allowed: that is three clips."""
    now_s = [0.0]

    def slow(clip: Clip) -> str:
        now_s[0] += clip.duration_s / 8
        return "said"

    recognizer = FakeRecognizer(slow)
    gated = GatedRecognizer(recognizer)
    reports: list[BatchReport] = []
    engine = Engine(lambda: gated, now_s=lambda: now_s[0], max_waiting_s=1e9, rules=BatchRules(linger_s=0.0, file_run_s=0.4))
    engine.on_batch(reports.append)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    first = engine.submit(seconds(1), OPTIONS)
    assert gated.entered.wait(PATIENCE_S)
    with engine.live_session():
        waiting = [engine.submit(seconds(1), OPTIONS) for _ in range(9)]
        gated.let_go.set()
        wait([first, *waiting], PATIENCE_S)
    gated.let_go.clear()
    gated.entered.clear()
    first = engine.submit(seconds(1), OPTIONS)
    assert gated.entered.wait(PATIENCE_S)
    waiting = [engine.submit(seconds(1), OPTIONS) for _ in range(9)]
    gated.let_go.set()
    wait([first, *waiting], PATIENCE_S)
    engine.close()
    assert recognizer.batches == [1, 3, 3, 3, 1, 9]
    assert [report.run_s for report in reports] == pytest.approx([0.125, 0.375, 0.375, 0.375, 0.125, 1.125])


def test_every_batch_is_reported() -> None:
    reports: list[BatchReport] = []
    gated = GatedRecognizer(FakeRecognizer(fails_on=lambda clip: clip.duration_s == 3.0))
    engine = engine_for(lambda: gated)
    engine.on_batch(reports.append)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    first = engine.submit(seconds(0.5), OPTIONS)
    assert gated.entered.wait(PATIENCE_S)
    waiting = [engine.submit(seconds(duration_s), OPTIONS) for duration_s in (2.0, 3.0)]
    live = engine.submit(seconds(1.0), OPTIONS, live=True)
    gated.let_go.set()
    wait([first, live, *waiting], PATIENCE_S)
    engine.close()
    assert [(report.live, report.audio_s, report.failed) for report in reports] == [
        (False, (0.5,), False), (True, (1.0,), False), (False, (2.0, 3.0), True), (False, (2.0,), False), (False, (3.0,), True),
    ]  # fmt: skip
    assert reports[2].padded_s == 6.0
    assert all(report.run_s >= 0 and min(report.waited_s) >= 0 for report in reports)


def test_a_full_queue_tells_how_long_it_lasts_at_the_measured_pace() -> None:
    now_s = [0.0]

    def slow(clip: Clip) -> str:
        now_s[0] += clip.duration_s
        return "said"

    gated = GatedRecognizer(FakeRecognizer(slow))
    engine = Engine(lambda: gated, now_s=lambda: now_s[0], max_waiting_s=20.0, rules=BatchRules(linger_s=0.0))
    engine.start()
    engine.loaded.result(PATIENCE_S)
    gated.let_go.set()
    engine.submit(seconds(5), OPTIONS).result(PATIENCE_S)
    gated.let_go.clear()
    gated.entered.clear()
    running_clip = engine.submit(seconds(5), OPTIONS)
    assert gated.entered.wait(PATIENCE_S)
    waiting = engine.submit(seconds(17), OPTIONS)
    with pytest.raises(OverloadedError) as refused:
        engine.submit(seconds(5), OPTIONS)
    assert refused.value.retry_after_s == 17
    gated.let_go.set()
    wait([running_clip, waiting], PATIENCE_S)
    engine.close()


def test_a_file_that_would_wait_too_long_by_the_measured_pace_is_refused_and_live_sound_is_not() -> None:
    now_s = [0.0]

    def slow(clip: Clip) -> str:
        now_s[0] += 2 * clip.duration_s
        return "said"

    gated = GatedRecognizer(FakeRecognizer(slow))
    engine = Engine(lambda: gated, now_s=lambda: now_s[0], max_waiting_s=1e9, max_wait_s=30.0, rules=BatchRules(linger_s=0.0))
    engine.start()
    engine.loaded.result(PATIENCE_S)
    gated.let_go.set()
    engine.submit(seconds(5), OPTIONS).result(PATIENCE_S)
    gated.let_go.clear()
    gated.entered.clear()
    taken = [engine.submit(seconds(5), OPTIONS)]
    assert gated.entered.wait(PATIENCE_S)
    taken += [engine.submit(seconds(8), OPTIONS), engine.submit(seconds(8), OPTIONS)]  # 32 s at 2 s a second
    with pytest.raises(OverloadedError, match="32 s") as refused:
        engine.submit(seconds(1), OPTIONS)
    assert refused.value.retry_after_s == 32
    with pytest.raises(OverloadedError):
        engine.check_room()
    taken += [engine.submit(seconds(1), OPTIONS, admitted=True), engine.submit(seconds(1), OPTIONS, live=True)]
    gated.let_go.set()
    wait(taken, PATIENCE_S)
    engine.check_room()
    engine.close()


def test_while_the_recogniser_is_away_what_is_new_is_refused_and_it_recovers() -> None:
    recognizer = AbsentRecognizer()
    with running(recognizer) as engine:
        recognizer.absent = True
        for ask in (engine.check_ready, engine.check_room, lambda: engine.submit(clip_of(1), OPTIONS)):
            with pytest.raises(ModelNotReadyError, match="nobody is there"):
                ask()
        assert engine.state == "ready", "no other process would do better"
        recognizer.absent = False
        assert engine.submit(clip_of(3), OPTIONS).result(PATIENCE_S).text == "n3"


def test_a_batch_that_finds_nobody_is_answered_so_and_is_not_halved() -> None:
    recognizer, failures = AbsentRecognizer(), list[BaseException]()
    with running(recognizer, linger_s=0.2, failures=failures) as engine:
        recognizer.absent = True
        answers = [engine.submit(clip_of(n), OPTIONS, admitted=True) for n in (1, 2, 3)]
        wait(answers, PATIENCE_S)
    for answer in answers:
        told = answer.exception()
        assert isinstance(told, ModelNotReadyError)
        assert told.retry_after_s == 7
    assert recognizer.n_calls == len(failures) <= len(answers)

"""The owner of the recogniser: its threads load the model, gather batches, run them, and hand each result to its owner."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

from .audio import Clip
from .batching import BatchRules, Moment, Pace, Waiting, next_batch
from .errors import (
    DeviceFailedError,
    ModelNotReadyError,
    ModelUnavailableError,
    OverloadedError,
    RecognitionError,
    SpeechError,
)
from .ports import Options, Recognizer, RecognizerFacts
from .transcript import Transcript

State = Literal["loading", "ready", "failed", "broken", "closed"]

_LOADING_RETRY_S: Final = 5  # what a client that comes too early is told to wait
_LONGEST_RETRY_S: Final = 60
_NOT_READY: Final[dict[State, str]] = {
    "loading": "the model is still loading",
    "failed": "the model could not be loaded",
    "broken": "the recogniser has failed and the service must be started again",
    "closed": "the service is going down",
}


class EngineRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine queues; see `BatchRules` for the last three."""

    max_waiting_s: float  # audio seconds in the queue; more is refused
    linger_s: float = 0.004
    file_patience_s: float = 2.0
    file_run_s: float = 0.3


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of the recogniser held and took."""

    live: bool
    audio_s: tuple[float, ...]  # of each clip
    waited_s: tuple[float, ...]  # of each clip, from when it was submitted until the call
    run_s: float
    failed: bool = False

    @property
    def padded_s(self) -> float:
        """What the batch costs: its clips times the longest of them."""
        return len(self.audio_s) * max(self.audio_s)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits at this moment."""

    n_clips: int
    audio_s: float


class _Job(msgspec.Struct, eq=False, kw_only=True):
    waiting: Waiting
    clip: Clip
    options: Options
    answer: "Future[Transcript]"


class Engine:
    """Runs one recogniser on threads of its own. Any thread may call every public method; none but `close` blocks."""

    def __init__(
        self,
        load: Callable[[], Recognizer],
        *,
        now_s: Callable[[], float],
        rules: EngineRules,
        on_failure: Callable[[BaseException], None] = lambda _failure: None,
    ) -> None:
        """Prepare an engine; `start` loads.

        Args:
            load: Builds the recogniser; called once, on an owner thread.
            now_s: A clock that never runs back.
            on_failure: Told every failure that reaches no client in full: a model that does not load, a batch that raises,
                a device that is lost.
        """
        self._load, self._now_s, self._rules, self._on_failure = load, now_s, rules, on_failure
        self._on_batch: list[Callable[[BatchReport], object]] = []
        self._jobs: dict[int, _Job] = {}
        self._queued_s = 0.0
        self._tickets = 0
        self._changed = threading.Condition()
        self._state: State = "loading"
        self._loaded: Future[Recognizer] = Future()
        self._threads = [threading.Thread(target=self._begin, name="engine", daemon=True)]
        self._batch_rules = BatchRules(padded_s=0.0)
        self._places = 1  # batches that really run at a time
        self._running = 0  # calls of the recogniser under way
        self._live_sessions = 0
        self._company = 1  # clips of the last batch
        self._after_live = False
        self._pace = Pace()
        self._ended_s = -math.inf  # when the last batch ended

    @property
    def state(self) -> State:
        return self._state

    @property
    def queue(self) -> Queue:
        return Queue(n_clips=len(self._jobs), audio_s=self._queued_s)

    @property
    def loaded(self) -> "Future[Recognizer]":
        """The recogniser once it is ready; fails with what kept it from loading. Ask it for facts only."""
        return self._loaded

    def start(self) -> None:
        """Begin to load, in the background."""
        self._threads[0].start()

    def on_batch(self, listener: Callable[[BatchReport], object]) -> None:
        """Have `listener` told of every call of the recogniser, on the thread that made it; call before `start`."""
        self._on_batch.append(listener)

    def recognizer(self) -> Recognizer:
        """Return the loaded recogniser, to be asked for facts only.

        Raises:
            ModelNotReadyError: It is still loading, has failed, or is closed.
        """
        if self._state != "ready":
            raise self._not_ready()
        return self._loaded.result()

    def submit(self, clip: Clip, options: Options, *, live: bool = False, admitted: bool = False) -> "Future[Transcript]":
        """Queue one clip for an owner thread; never blocks.

        Args:
            admitted: An earlier clip of the same request was taken, so this one is, however full the queue is: what was
                begun is finished. Whoever asks bounds how many of its clips wait at a time.

        Returns:
            A future that fails alone, whatever shares its batch; cancelling it takes the clip out of the queue.

        Raises:
            ModelNotReadyError: The model is loading, has failed, or the engine is closed.
            OverloadedError: The queue is full.
        """
        with self._changed:
            if self._state != "ready":
                raise self._not_ready()
            if not admitted and self._jobs and self._queued_s + clip.duration_s > self._rules.max_waiting_s:
                raise OverloadedError("the queue is full; try again shortly", retry_after_s=self._queue_lasts_s())
            self._tickets += 1
            waiting = Waiting(ticket=self._tickets, duration_s=clip.duration_s, since_s=self._now_s(), live=live)
            job = _Job(waiting=waiting, clip=clip, options=options, answer=Future())
            self._jobs[waiting.ticket] = job
            self._queued_s += clip.duration_s
            self._changed.notify_all()
        job.answer.add_done_callback(lambda _answer: self._withdraw(waiting.ticket))
        return job.answer

    @contextmanager
    def live_session(self) -> Iterator[None]:
        """Keep file batches short while someone listens live."""
        with self._changed:
            self._live_sessions += 1
        try:
            yield
        finally:
            with self._changed:
                self._live_sessions -= 1

    def close(self) -> None:
        """Refuse new work, finish what is queued, and let the owner threads end; a load under way is not waited for."""
        with self._changed:
            if self._state == "closed":
                return
            self._state = "closed"
            self._changed.notify_all()
        if self._loaded.done():
            for thread in self._threads:
                thread.join()

    def _not_ready(self) -> ModelNotReadyError:
        return ModelNotReadyError(_NOT_READY.get(self._state, "the model is not ready"), retry_after_s=_LOADING_RETRY_S)

    def _queue_lasts_s(self) -> int:
        return min(_LONGEST_RETRY_S, max(1, math.ceil(self._queued_s * self._pace.per_padded_s / self._places)))

    def _begin(self) -> None:
        try:
            recognizer = self._load()
        except BaseException as failure:
            self._fail(failure)
            return
        self._prepare(recognizer.facts)
        owners = [
            threading.Thread(target=self._own, args=(recognizer,), name=f"engine-{i}", daemon=True)
            for i in range(1, recognizer.facts.max_concurrent_batches)
        ]
        self._threads += owners
        for owner in owners:
            owner.start()
        with self._changed:
            self._state = "ready" if self._state == "loading" else self._state
        self._loaded.set_result(recognizer)
        self._own(recognizer)

    def _prepare(self, facts: RecognizerFacts) -> None:
        self._places = max(1, facts.max_concurrent_batches - facts.prepares_ahead)
        self._batch_rules = BatchRules(
            padded_s=facts.batch_padded_s,
            linger_s=self._rules.linger_s,
            file_patience_s=self._rules.file_patience_s,
            file_run_s=self._rules.file_run_s,
        )

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._state = "failed" if self._state == "loading" else self._state
        self._on_failure(failure)
        told = failure if isinstance(failure, SpeechError) else ModelUnavailableError(_NOT_READY["failed"])
        self._loaded.set_exception(told)

    def _own(self, recognizer: Recognizer) -> None:
        jobs: list[_Job] = []
        try:
            while jobs := self._gather():
                self._run(recognizer, jobs)
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
        except BaseException as failure:  # a lost device, or a defect of ours: nobody must wait for a thread that is gone
            self._break(failure, jobs)

    def _break(self, failure: BaseException, running: Sequence[_Job]) -> None:
        """Answer everybody that nothing is recognised any more; the other owners end too."""
        with self._changed:
            self._state = "closed" if self._state == "closed" else "broken"
            left = [self._take(ticket) for ticket in tuple(self._jobs)]
            self._changed.notify_all()
        self._on_failure(failure)
        told = ModelNotReadyError(_NOT_READY["broken"], retry_after_s=_LOADING_RETRY_S)
        for job in left:
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_exception(told)
        for job in running:
            if not job.answer.done():
                job.answer.set_exception(told)

    def _gather(self) -> list[_Job]:
        """Wait for the next batch; empty when the engine is closed and nothing is left, or when it is broken."""
        with self._changed:
            while self._state != "broken":
                waiting = [job.waiting for job in self._jobs.values()]
                rules, moment = self._batch_rules, self._moment()
                if self._state == "closed":
                    rules = msgspec.structs.replace(rules, linger_s=0.0)
                if chosen := next_batch(waiting, rules, moment):
                    jobs = [self._take(item.ticket) for item in chosen]
                    if running := [job for job in jobs if job.answer.set_running_or_notify_cancel()]:
                        self._running += 1
                        self._company, self._after_live = len(running), running[0].waiting.live
                        return running
                elif waiting:
                    self._changed.wait(None if moment.ahead else rules.linger_s)
                elif self._state == "closed":
                    return []
                else:
                    self._changed.wait()
            return []

    def _moment(self) -> Moment:
        return Moment(
            now_s=self._now_s(),
            company=self._company,
            ahead=self._running >= self._places,
            after_live=self._after_live,
            live_open=self._live_sessions > 0,
            file_pace=self._pace.per_padded_s,
        )

    def _take(self, ticket: int) -> _Job:
        job = self._jobs.pop(ticket)
        self._queued_s -= job.waiting.duration_s
        return job

    def _withdraw(self, ticket: int) -> None:
        with self._changed:
            if ticket in self._jobs:
                self._take(ticket)

    def _run(self, recognizer: Recognizer, jobs: Sequence[_Job]) -> None:
        """Run a batch; one that fails is halved until the poisonous clip stands alone."""
        began_s = self._now_s()
        try:
            results = recognizer.recognize([job.clip for job in jobs], [job.options for job in jobs])
            if len(results) != len(jobs):
                raise RecognitionError(f"the recogniser gave {len(results)} results for {len(jobs)} clips")
        except DeviceFailedError:
            raise
        except Exception as failure:
            self._report(jobs, began_s, failed=True)
            if len(jobs) > 1:
                self._run(recognizer, jobs[: len(jobs) // 2])
                self._run(recognizer, jobs[len(jobs) // 2 :])
                return
            self._on_failure(failure)
            error = failure if isinstance(failure, SpeechError) else RecognitionError("the recogniser failed on this audio")
            error.__cause__ = None if error is failure else failure
            jobs[0].answer.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            job.answer.set_result(result)
        self._report(jobs, began_s, failed=False)

    def _report(self, jobs: Sequence[_Job], began_s: float, *, failed: bool) -> None:
        ended_s = self._now_s()
        with self._changed:
            # What is only prepared while another runs has not run yet: two batches in a row share no second.
            ran_s = ended_s - (max(began_s, self._ended_s) if self._places < len(self._threads) else began_s)
            report = BatchReport(
                live=jobs[0].waiting.live,
                audio_s=tuple(job.waiting.duration_s for job in jobs),
                waited_s=tuple(began_s - job.waiting.since_s for job in jobs),
                run_s=ran_s,
                failed=failed,
            )
            self._ended_s = ended_s
            if not (report.live or failed):
                self._pace = self._pace.after(run_s=report.run_s, padded_s=report.padded_s)
        for listener in self._on_batch:
            listener(report)

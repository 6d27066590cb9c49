"""The owner of the recogniser: its thread loads the model, gathers batches, runs them, and hands each result to its owner."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Literal

import msgspec

from .audio import Clip
from .batching import Waiting, next_batch
from .errors import ModelNotReadyError, ModelUnavailableError, OverloadedError, RecognitionError, SpeechError
from .ports import Options, Recognizer
from .transcript import Transcript

State = Literal["loading", "ready", "failed", "closed"]

_LOADING_RETRY_S: Final = 5  # what a client that comes too early is told to wait
_BUSY_RETRY_S: Final = 2
_NOT_READY: Final[dict[State, str]] = {
    "loading": "the model is still loading",
    "failed": "the model could not be loaded",
    "closed": "the service is going down",
}


class EngineRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine queues. `linger_s` is how long an idle model waits for company for a lone clip."""

    max_waiting_s: float  # audio seconds in the queue; more is refused
    linger_s: float = 0.004


class _Job(msgspec.Struct, eq=False, kw_only=True):
    waiting: Waiting
    clip: Clip
    options: Options
    answer: "Future[Transcript]"


class Engine:
    """Runs one recogniser on a thread of its own. Any thread may call every public method; none but `close` blocks."""

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
            load: Builds the recogniser; called once, on the owner thread.
            now_s: A clock that never runs back.
            on_failure: Told every failure that reaches no client in full: a model that does not load, a batch that raises.
        """
        self._load, self._now_s, self._rules, self._on_failure = load, now_s, rules, on_failure
        self._jobs: dict[int, _Job] = {}
        self._queued_s = 0.0
        self._tickets = 0
        self._changed = threading.Condition()
        self._state: State = "loading"
        self._loaded: Future[Recognizer] = Future()
        self._thread = threading.Thread(target=self._own, name="engine", daemon=True)

    @property
    def state(self) -> State:
        return self._state

    @property
    def loaded(self) -> "Future[Recognizer]":
        """The recogniser once it is ready; fails with what kept it from loading. Ask it for facts only."""
        return self._loaded

    def start(self) -> None:
        """Begin to load, in the background."""
        self._thread.start()

    def recognizer(self) -> Recognizer:
        """Return the loaded recogniser, to be asked for facts only.

        Raises:
            ModelNotReadyError: It is still loading, has failed, or is closed.
        """
        if self._state != "ready":
            raise self._not_ready()
        return self._loaded.result()

    def submit(self, clip: Clip, options: Options, *, live: bool = False) -> "Future[Transcript]":
        """Queue one clip for the owner thread; never blocks.

        Returns:
            A future that fails alone, whatever shares its batch; cancelling it takes the clip out of the queue.

        Raises:
            ModelNotReadyError: The model is loading, has failed, or the engine is closed.
            OverloadedError: The queue is full.
        """
        with self._changed:
            if self._state != "ready":
                raise self._not_ready()
            if self._jobs and self._queued_s + clip.duration_s > self._rules.max_waiting_s:
                raise OverloadedError("the queue is full; try again shortly", retry_after_s=_BUSY_RETRY_S)
            self._tickets += 1
            waiting = Waiting(ticket=self._tickets, duration_s=clip.duration_s, since_s=self._now_s(), live=live)
            job = _Job(waiting=waiting, clip=clip, options=options, answer=Future())
            self._jobs[waiting.ticket] = job
            self._queued_s += clip.duration_s
            self._changed.notify()
        job.answer.add_done_callback(lambda _answer: self._withdraw(waiting.ticket))
        return job.answer

    def close(self) -> None:
        """Refuse new work, finish what is queued, and let the owner thread end; a load under way is not waited for."""
        with self._changed:
            if self._state == "closed":
                return
            self._state = "closed"
            self._changed.notify()
        if self._loaded.done():
            self._thread.join()

    def _not_ready(self) -> ModelNotReadyError:
        return ModelNotReadyError(_NOT_READY.get(self._state, "the model is not ready"), retry_after_s=_LOADING_RETRY_S)

    def _own(self) -> None:
        try:
            recognizer = self._load()
        except BaseException as failure:
            self._fail(failure)
            return
        with self._changed:
            self._state = "ready" if self._state == "loading" else self._state
        self._loaded.set_result(recognizer)
        while batch := self._gather(recognizer.facts.batch_padded_s):
            self._run(recognizer, batch)

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._state = "failed" if self._state == "loading" else self._state
        self._on_failure(failure)
        told = failure if isinstance(failure, SpeechError) else ModelUnavailableError(_NOT_READY["failed"])
        self._loaded.set_exception(told)

    def _gather(self, padded_s: float) -> list[_Job]:
        """Wait for the next batch; empty when the engine is closed and nothing is left."""
        with self._changed:
            while True:
                waiting = [job.waiting for job in self._jobs.values()]
                linger_s = 0.0 if self._state == "closed" else self._rules.linger_s
                if chosen := next_batch(waiting, now_s=self._now_s(), padded_s=padded_s, linger_s=linger_s):
                    jobs = [self._take(item.ticket) for item in chosen]
                    if running := [job for job in jobs if job.answer.set_running_or_notify_cancel()]:
                        return running
                elif waiting:
                    self._changed.wait(linger_s)
                elif self._state == "closed":
                    return []
                else:
                    self._changed.wait()

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
        try:
            results = recognizer.recognize([job.clip for job in jobs], [job.options for job in jobs])
            if len(results) != len(jobs):
                raise RecognitionError(f"the recogniser gave {len(results)} results for {len(jobs)} clips")
        except Exception as failure:
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

"""The owner of the recogniser: its threads load the model, gather batches, run them, and hand each result to its owner."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

from .audio import Clip
from .batching import BatchRules, Moment, next_batch
from .calls import Calls
from .errors import ModelNotReadyError, ModelUnavailableError, OverloadedError, SpeechError
from .pace import BatchReport
from .ports import Options, Recognizer, RecognizerFacts, RemoteRecognizer
from .queue import Answer, Job, Queue, QueueFacts

State = Literal["loading", "ready", "failed", "broken", "closed"]

_LOADING_RETRY_S: Final = 5  # what a client that comes too early is told to wait
_LONGEST_RETRY_S: Final = 60
_LOOK_S: Final = 0.2  # how soon it is seen that more replicas run
_NOT_READY: Final[dict[State, str]] = {
    "loading": "the model is still loading",
    "failed": "the model could not be loaded",
    "broken": "the recogniser has failed and the service must be started again",
    "closed": "the service is going down",
}


class Engine:
    """Runs one recogniser on threads of its own. Any thread may call every public method; none but `close` blocks."""

    def __init__(
        self,
        load: Callable[[], Recognizer],
        *,
        now_s: Callable[[], float],
        max_waiting_s: float,
        max_wait_s: float = math.inf,
        rules: BatchRules,
        on_failure: Callable[[BaseException], None] = lambda _failure: None,
    ) -> None:
        """Prepare an engine; `start` loads.

        Args:
            load: Builds the recogniser; called once, on an owner thread.
            now_s: A clock that never runs back.
            max_waiting_s: Seconds of audio that may wait; more is refused.
            max_wait_s: How long a file may have to wait by the measured pace; where it is longer, further ones are refused.
            rules: How batches are made; their size is the recogniser's.
            on_failure: Told every failure that reaches no client in full: a model that does not load, a batch that raises,
                a device that is lost.
        """
        self._load, self._now_s, self._rules, self._on_failure = load, now_s, rules, on_failure
        self._max_wait_s = max_wait_s
        self._queue = Queue(max_waiting_s=max_waiting_s)
        self._changed = threading.Condition()
        self._calls = Calls(now_s=now_s, on_failure=on_failure, turn=self._changed)
        self._broken: Future[BaseException] = Future()
        self._state: State = "loading"
        self._loaded: Future[Recognizer] = Future()
        self._threads = [threading.Thread(target=self._begin, name="engine", daemon=True)]
        self._check_remote: Callable[[], None] = lambda: None
        self._remote: RemoteRecognizer | None = None
        self._most_places = 1  # batches that may really run at a time
        self._under_way: dict[int, tuple[float, Sequence[Job]]] = {}  # by thread: since when it calls the recogniser, with what
        self._live_sessions = 0
        self._company = 1  # clips of the last batch
        self._after_live = False
        self._n_withdrawn = 0

    @property
    def state(self) -> State:
        return self._state

    @property
    def queue(self) -> QueueFacts:
        return self._queue.facts

    @property
    def queue_lasts_s(self) -> float:
        """How long what waits will take, in seconds, by the measured pace of files; 0.0 before anything ran."""
        return self.queue.audio_s * self._calls.pace(live=False).per_padded_s / self._places()

    @property
    def n_withdrawn(self) -> int:
        """Clips that were taken out of the queue before a batch took them: cancelled, or asked for in vain."""
        return self._n_withdrawn

    @property
    def loaded(self) -> "Future[Recognizer]":
        """The recogniser once it is ready; fails with what kept it from loading. Ask it for facts only."""
        return self._loaded

    @property
    def broken(self) -> "Future[BaseException]":
        """What has ended the recogniser for good, once something has; nothing in this process mends it."""
        return self._broken

    @property
    def runs_for_s(self) -> float:
        """How long the oldest call of the recogniser under way has been running, in seconds; 0.0 while none is."""
        with self._changed:
            return max((self._now_s() - since_s for since_s, _ in self._under_way.values()), default=0.0)

    def now_s(self) -> float:
        """Tell the time on the engine's clock."""
        return self._now_s()

    def start(self) -> None:
        """Begin to load, in the background."""
        self._threads[0].start()

    def on_batch(self, listener: Callable[[BatchReport], object]) -> None:
        """Have `listener` told of every call of the recogniser, on the thread that made it; call before `start`."""
        self._calls.on_batch(listener)

    def recognizer(self) -> Recognizer:
        """Return the loaded recogniser, to be asked for facts only.

        Raises:
            ModelNotReadyError: It is still loading, has failed, or is closed.
        """
        if self._state != "ready":
            raise self._not_ready()
        return self._loaded.result()

    def check_ready(self) -> None:
        """Tell whether anything can be recognised now.

        Raises:
            ModelNotReadyError: As `recognizer`.
            UnavailableError: The recogniser is loaded, and the machines it needs cannot be reached at the moment.
        """
        self.recognizer()
        self._check_remote()

    def check_room(self) -> None:
        """Refuse another file early, before it costs anything.

        Raises:
            UnavailableError: As `check_ready`.
            OverloadedError: It would wait too long.
        """
        self.check_ready()
        if (lasts_s := self.queue_lasts_s) > self._max_wait_s:
            told = f"the queue lasts {lasts_s:.0f} s, longer than the {self._max_wait_s:g} s that a file may wait; try again later"
            raise OverloadedError(told, retry_after_s=self._retry_after_s())

    def submit(
        self, clip: Clip, options: Options, *, live: bool = False, tentative: bool = False, admitted: bool = False
    ) -> Answer:
        """Queue one clip for an owner thread; never blocks.

        Args:
            tentative: Of a live session that will ask again: what is final goes before it, and may wait for a short batch only.
            admitted: An earlier clip of the same request was taken, so this one is, however full the queue is: what was
                begun is finished. Whoever asks bounds how many of its clips wait at a time.

        Returns:
            A future that fails alone, whatever shares its batch. Cancelling it takes the clip out of the queue; if its batch
            runs already, the result is thrown away, and whoever waits waits no longer.

        Raises:
            ModelNotReadyError: The model is loading, has failed, or the engine is closed.
            UnavailableError: As `check_ready`, of a file that begins.
            OverloadedError: The queue is full, or a file would wait too long.
        """
        if not (admitted or live):
            self.check_room()
        with self._changed:
            if self._state != "ready":
                raise self._not_ready()
            if not (admitted or self._queue.has_room_for(clip)):
                raise OverloadedError("the queue is full; try again shortly", retry_after_s=self._retry_after_s())
            job = self._queue.add(clip, options, live=live, tentative=tentative, now_s=self._now_s())
            self._changed.notify_all()
        ticket = job.waiting.ticket  # not the job: its answer would keep its audio alive
        job.answer.add_done_callback(lambda _answer: self._withdraw(ticket))
        return job.answer

    def give_up(self, failure: SpeechError) -> None:
        """Answer everybody that nothing is recognised any more; for whoever sees that a call does not come back."""
        with self._changed:
            if self._state != "ready":
                return
            held = [job for _, jobs in self._under_way.values() for job in jobs]
        self._break(failure, held)

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

    def close(self, *, patience_s: float | None = None) -> None:
        """Refuse new work, finish what is queued, and let the owner threads end; a load under way is not waited for.

        Args:
            patience_s: How long to wait for each of them, as a call may never come back; None is for ever.
        """
        with self._changed:
            before, self._state = self._state, "closed"
            self._changed.notify_all()
        if before == "ready":
            for thread in self._threads:
                thread.join(patience_s)

    def _not_ready(self) -> ModelNotReadyError:
        return ModelNotReadyError(_NOT_READY.get(self._state, "the model is not ready"), retry_after_s=_LOADING_RETRY_S)

    def _retry_after_s(self) -> int:
        return min(_LONGEST_RETRY_S, max(1, math.ceil(self.queue_lasts_s)))

    def _begin(self) -> None:
        try:
            recognizer = self._load()
            self._prepare(recognizer.facts)
        except BaseException as failure:
            self._fail(failure)
            return
        if isinstance(recognizer, RemoteRecognizer):
            self._remote, self._check_remote = recognizer, recognizer.check_reachable
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
        self._most_places = max(1, facts.max_concurrent_batches - facts.prepares_ahead)
        self._rules = msgspec.structs.replace(self._rules, padded_s=facts.batch_padded_s)
        if self._most_places < facts.max_concurrent_batches:
            self._calls.overlap()

    def _places(self) -> int:
        return max(1, min(self._most_places, self._remote.n_running())) if self._remote else self._most_places

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._state = "failed" if self._state == "loading" else self._state
        self._on_failure(failure)
        told = failure if isinstance(failure, SpeechError) else ModelUnavailableError(_NOT_READY["failed"])
        self._loaded.set_exception(told)

    def _own(self, recognizer: Recognizer) -> None:
        jobs: list[Job] = []
        try:
            while jobs := self._gather():
                try:
                    self._calls.run(recognizer, jobs)
                finally:
                    with self._changed:
                        del self._under_way[threading.get_ident()]
                        self._changed.notify_all()
        except BaseException as failure:  # a lost device, or a defect of ours: nobody must wait for a thread that is gone
            self._break(failure, jobs)

    def _break(self, failure: BaseException, running: Sequence[Job]) -> None:
        """Answer everybody that nothing is recognised any more; the other owners end too."""
        with self._changed:
            first = self._state == "ready"
            self._state = "closed" if self._state == "closed" else "broken"
            left = self._queue.take_all()
            self._changed.notify_all()
        self._on_failure(failure)
        told = ModelNotReadyError(_NOT_READY["broken"], retry_after_s=_LOADING_RETRY_S)
        for job in (*left, *running):
            job.settle(told)
        if first:
            self._broken.set_result(failure)

    def _gather(self) -> list[Job]:
        """Wait for the next batch; empty when the engine is closed and nothing is left, or when it is broken."""
        with self._changed:
            while self._state != "broken":
                if self._remote and len(self._under_way) >= self._places():
                    self._changed.wait(_LOOK_S)  # what is taken now would wait out there, and what is more urgent behind it
                    continue
                waiting, rules, moment = self._queue.waiting, self._rules, self._moment()
                if self._state == "closed":
                    rules = msgspec.structs.replace(rules, linger_s=0.0)
                if chosen := next_batch(waiting, rules, moment):
                    jobs = [self._queue.take(item.ticket) for item in chosen]
                    if running := [job for job in jobs if job and not job.answer.cancelled()]:
                        self._under_way[threading.get_ident()] = (self._now_s(), running)
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
            ahead=len(self._under_way) >= self._places(),
            after_live=self._after_live,
            live_open=self._live_sessions > 0,
            file_padded_s=self._calls.pace(live=False).padded_within_s(self._rules.file_run_s),
            tentative_padded_s=self._calls.pace(live=True).padded_within_s(self._rules.tentative_run_s),
        )

    def _withdraw(self, ticket: int) -> None:
        with self._changed:
            self._n_withdrawn += self._queue.take(ticket) is not None

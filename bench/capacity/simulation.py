"""The service as a discrete-event simulation: what computes are stations with queues, between them the service's own planner.

What decides is the code that runs in production: `next_batch` chooses, `Stopwatch` measures the pace. What takes time is `costs`.
Times are seconds on the simulation's clock.
"""

from collections.abc import Generator
from typing import Any, Final

import msgspec
import simpy

from app.domain.batching import BatchRules, Moment, Waiting, next_batch
from app.domain.pace import Pace, Stopwatch

from .costs import Api, Model

Steps = Generator[simpy.Event, Any, None]
_RUNS: Final = 1  # a priority at a replica:
_IS_GONE: Final = 0  # what takes it away goes before what it does
_MAX_WAIT_S: Final = 30.0  # STT_MAX_WAIT_S
_MAX_REQUESTS: Final = 256  # STT_MAX_REQUESTS


class Job(msgspec.Struct, eq=False, kw_only=True):
    """One clip at the engine; `done` happens once it is answered."""

    waiting: Waiting
    done: simpy.Event
    began_s: float = 0.0  # of its batch


class Replicas:
    """Models that run a batch at a time each. They can be lost with what they run, leave, and come back."""

    def __init__(self, env: simpy.Environment, model: Model, n: int) -> None:
        self._env, self._model = env, model
        self._room = simpy.PreemptiveResource(env, n)
        self.n, self.n_gone = n, 0
        self.n_lost = 0  # batches
        self.busy_s = 0.0

    def run(self, padded_s: float) -> Steps:
        """Run a batch on the first replica that is free; once more, if it is lost."""
        while True:
            with self._room.request(priority=_RUNS, preempt=False) as turn:
                yield turn
                began_s = self._env.now
                try:
                    yield self._env.timeout(self._model.run_s(padded_s))
                except simpy.Interrupt:
                    self.n_lost += 1
                else:
                    return
                finally:
                    self.busy_s += self._env.now - began_s

    def leave(self, back: simpy.Event, *, at_once: bool) -> Steps:
        """Take one replica away until `back`: with what it runs, or when that is finished."""
        with self._room.request(priority=_IS_GONE, preempt=at_once) as gone:
            self.n_gone += 1
            yield gone
            yield back
            self.n_gone -= 1


class Engine:
    """The queue in front of replicas, as `app/domain/engine.py` has it: `places` batches are under way at a time at most."""

    def __init__(
        self, env: simpy.Environment, replicas: Replicas, rules: BatchRules, *, places: int, max_wait_s: float = _MAX_WAIT_S
    ) -> None:
        self._env, self._replicas, self._rules, self._places, self._max_wait_s = env, replicas, rules, places, max_wait_s
        self._jobs: dict[int, Job] = {}
        self._changed = env.event()
        self._stopwatch = Stopwatch(overlapping=False)
        self._n_tickets = self._under_way = 0
        self._company, self._after_live = 1, False
        self._waiting_s = 0.0  # audio that waits
        self._since_s = env.now
        self.live_sessions = 0
        self.n_answered = self.n_withdrawn = self.n_batches = 0
        self.n_live_batches = self.n_live_clips = 0
        self.wait_s = self.clip_s = 0.0  # of all clips that were taken: how long they waited; and clips times seconds in the queue
        env.process(self._dispatch())

    @property
    def n_submitted(self) -> int:
        return self._n_tickets

    @property
    def n_waiting(self) -> int:
        return len(self._jobs)

    @property
    def queue_lasts_s(self) -> float:
        """How long what waits will take by the measured pace; the autoscaler of `deploy/kubernetes` goes by it."""
        pace: Pace = self._stopwatch.pace(live=False)
        return self._waiting_s * pace.per_padded_s / self._places

    @property
    def is_full(self) -> bool:
        """Whether another file is refused."""
        return self.queue_lasts_s > self._max_wait_s

    def submit(self, duration_s: float, *, live: bool = False, tentative: bool = False) -> Job:
        """Queue a clip."""
        self._n_tickets += 1
        waiting = Waiting(ticket=self._n_tickets, duration_s=duration_s, since_s=self._env.now, live=live, tentative=tentative)
        job = Job(waiting=waiting, done=self._env.event())
        self._count()
        self._jobs[waiting.ticket] = job
        self._waiting_s += duration_s
        self._tell()
        return job

    def withdraw(self, job: Job) -> None:
        """Take a clip out of the queue, if it is still there."""
        if self._take(job.waiting.ticket):
            self.n_withdrawn += 1

    def _take(self, ticket: int) -> Job | None:
        self._count()
        job = self._jobs.pop(ticket, None)
        if job:
            self._waiting_s -= job.waiting.duration_s
            self.wait_s += self._env.now - job.waiting.since_s
        return job

    def _count(self) -> None:
        self.clip_s += len(self._jobs) * (self._env.now - self._since_s)
        self._since_s = self._env.now

    def _tell(self) -> None:
        told, self._changed = self._changed, self._env.event()
        told.succeed()

    def _dispatch(self) -> Steps:
        while True:
            if self._under_way >= self._places or not self._jobs:
                yield self._changed
            elif chosen := next_batch([job.waiting for job in self._jobs.values()], self._rules, self._moment()):
                jobs = [job for item in chosen if (job := self._take(item.ticket))]
                self._under_way += 1
                self._company, self._after_live = len(jobs), chosen[0].live
                self._env.process(self._run(jobs))
            else:
                yield self._changed | self._env.timeout(self._rules.linger_s)

    def _moment(self) -> Moment:
        return Moment(
            now_s=self._env.now,
            company=self._company,
            after_live=self._after_live,
            live_open=self.live_sessions > 0,
            file_padded_s=self._stopwatch.pace(live=False).padded_within_s(self._rules.file_run_s),
            tentative_padded_s=self._stopwatch.pace(live=True).padded_within_s(self._rules.tentative_run_s),
        )

    def _run(self, jobs: list[Job]) -> Steps:
        batch, began_s = [job.waiting for job in jobs], self._env.now
        yield from self._replicas.run(len(batch) * max(item.duration_s for item in batch))
        self._stopwatch.report(batch, began_s=began_s, ended_s=self._env.now, failed=False)
        self._under_way -= 1
        self.n_batches += 1
        self.n_live_batches += batch[0].live
        self.n_live_clips += len(batch) * batch[0].live
        for job in jobs:
            job.began_s = began_s
            self.n_answered += 1
            job.done.succeed()
        self._tell()


class Service:
    """One process of the service: its worker, which has one core, the processes that decode, and its engine."""

    def __init__(
        self, env: simpy.Environment, api: Api, replicas: Replicas, rules: BatchRules, *, places: int, decoders: int = 4
    ) -> None:
        self.env, self.api = env, api
        self.engine = Engine(env, replicas, rules, places=places)
        self._loop, self._decoders = simpy.Resource(env, 1), simpy.Resource(env, decoders)
        self.loop_s = self.decode_s = 0.0  # seconds that cores were busy
        self._n_open = 0

    @property
    def takes_files(self) -> bool:
        """Whether another file is let in."""
        return self._n_open < _MAX_REQUESTS and not self.engine.is_full

    def hear(self, duration_s: float) -> Steps:
        """Take a file up to its answer."""
        self._n_open += 1
        yield from self.work(self.api.loop_request_s + self.api.loop_audio_s * duration_s)
        needed_s = self.api.decode_request_s + self.api.decode_audio_s * duration_s
        with self._decoders.request() as turn:
            yield turn
            yield self.env.timeout(needed_s)
        self.decode_s += needed_s
        yield self.engine.submit(duration_s).done
        yield self.env.timeout(self.api.answer_s)
        self._n_open -= 1

    def work(self, needed_s: float) -> Steps:
        """Keep the worker's core busy once its turn comes."""
        with self._loop.request() as turn:
            yield turn
            yield self.env.timeout(needed_s)
        self.loop_s += needed_s


def fleet(
    env: simpy.Environment, api: Api, model: Model, *, replicas: int, services: int = 1, rules: BatchRules | None = None
) -> tuple[Replicas, list[Service]]:
    """Return replicas and services that share them; each service may have as many batches under way as there are replicas."""
    models = Replicas(env, model, replicas)
    chosen = rules or BatchRules(padded_s=model.most_padded_s)
    return models, [Service(env, api, models, chosen, places=replicas) for _ in range(services)]

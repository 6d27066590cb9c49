"""What waits for the recogniser: clips with the futures that their owners hold."""

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

import msgspec

from .audio import Clip
from .batching import Waiting
from .errors import SpeechError
from .ports import Options
from .stages import Ran
from .transcript import Transcript


class Answer(Future[Transcript]):
    """The result of one clip; when it is there, `ran` tells how it came about."""

    ran: Ran | None = None


class Job(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One clip to recognise and where its result goes."""

    waiting: Waiting
    clip: Clip
    options: Options
    answer: Answer

    def settle(self, outcome: Transcript | SpeechError) -> None:
        """Answer whoever waits, once; nobody, if the answer was cancelled.

        The answer is pending until now, never running: so it can be cancelled at any time, and of two threads that settle at
        once (one that gave up a call, and the call that came back) the second finds it done.
        """
        with suppress(InvalidStateError):
            if isinstance(outcome, SpeechError):
                self.answer.set_exception(outcome)
            else:
                self.answer.set_result(outcome)


class QueueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What waits at this moment."""

    n_clips: int
    audio_s: float


class Queue:
    """Holds jobs until they are taken or withdrawn, bounded by their audio. One thread at a time uses it."""

    def __init__(self, *, max_waiting_s: float) -> None:
        self._max_waiting_s = max_waiting_s
        self._jobs: dict[int, Job] = {}
        self._tickets = 0
        self._waiting_s = 0.0

    @property
    def facts(self) -> QueueFacts:
        return QueueFacts(n_clips=len(self._jobs), audio_s=self._waiting_s)

    @property
    def waiting(self) -> list[Waiting]:
        """What the planner chooses from, the oldest first."""
        return [job.waiting for job in self._jobs.values()]

    def has_room_for(self, clip: Clip) -> bool:
        """Whether `clip` stays within the bound; an empty queue takes a clip of any length."""
        return not self._jobs or self._waiting_s + clip.duration_s <= self._max_waiting_s

    def add(self, clip: Clip, options: Options, *, live: bool, tentative: bool, now_s: float) -> Job:
        """Queue a clip, whether or not there is room."""
        self._tickets += 1
        waiting = Waiting(ticket=self._tickets, duration_s=clip.duration_s, since_s=now_s, live=live, tentative=tentative)
        job = Job(waiting=waiting, clip=clip, options=options, answer=Answer())
        self._jobs[waiting.ticket] = job
        self._waiting_s += clip.duration_s
        return job

    def take(self, ticket: int) -> Job | None:
        """Remove a job; None if it is not in the queue any more."""
        job = self._jobs.pop(ticket, None)
        if job:
            self._waiting_s -= job.waiting.duration_s
        return job

    def take_all(self) -> list[Job]:
        """Empty the queue."""
        jobs = list(self._jobs.values())
        self._jobs.clear()
        self._waiting_s = 0.0
        return jobs

"""Calls of the recogniser: each is timed and reported, and where a batch fails it is taken apart."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from .errors import DeviceFailedError, RecognitionError, SpeechError, UnavailableError
from .pace import BatchReport, Pace, Stopwatch
from .ports import Recognizer
from .queue import Job
from .stages import Ran


class Calls:
    """Makes the calls, on whatever thread asks for one; every job of a batch is answered by the end of it."""

    def __init__(
        self, *, now_s: Callable[[], float], on_failure: Callable[[BaseException], None], turn: AbstractContextManager[object]
    ) -> None:
        """Prepare; `turn` is a lock that is held while the stopwatch is set or read."""
        self._now_s, self._on_failure, self._turn = now_s, on_failure, turn
        self._on_batch: list[Callable[[BatchReport], object]] = []
        self._stopwatch = Stopwatch(overlapping=False)

    def overlap(self) -> None:
        """Time calls of which one is only prepared while another runs."""
        self._stopwatch = Stopwatch(overlapping=True)

    def on_batch(self, listener: Callable[[BatchReport], object]) -> None:
        """Have `listener` told of every call."""
        self._on_batch.append(listener)

    def pace(self, *, live: bool) -> Pace:
        """How file batches run, or live ones."""
        return self._stopwatch.pace(live=live)

    def run(self, recognizer: Recognizer, jobs: Sequence[Job]) -> None:
        """Run a batch; one that fails is halved until the poisonous clip stands alone. What nobody waits for is not tried again.

        Raises:
            DeviceFailedError: Nothing will be recognised any more; the jobs are not answered.
        """
        began_s = self._now_s()
        try:
            results = recognizer.recognize([job.clip for job in jobs], [job.options for job in jobs])
            if len(results) != len(jobs):
                raise RecognitionError(f"the recogniser gave {len(results)} results for {len(jobs)} clips")
        except DeviceFailedError:
            raise
        except UnavailableError as nobody:  # the halves would find nobody, either
            self._report(jobs, began_s, failed=True)
            self._on_failure(nobody)
            for job in jobs:
                job.settle(nobody)
            return
        except Exception as failure:
            self._report(jobs, began_s, failed=True)
            if len(jobs) > 1:
                for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
                    if asked := [job for job in half if not job.answer.cancelled()]:
                        self.run(recognizer, asked)
                return
            self._on_failure(failure)
            error = failure if isinstance(failure, SpeechError) else RecognitionError("the recogniser failed on this audio")
            error.__cause__ = None if error is failure else failure
            jobs[0].settle(error)
            return
        ended_s = self._now_s()
        for job, result in zip(jobs, results, strict=True):
            job.answer.ran = Ran(since_s=job.waiting.since_s, began_s=began_s, ended_s=ended_s, n_clips=len(jobs))
            job.settle(result)
        self._report(jobs, began_s, failed=False)

    def _report(self, jobs: Sequence[Job], began_s: float, *, failed: bool) -> None:
        batch = [job.waiting for job in jobs]
        with self._turn:
            report = self._stopwatch.report(batch, began_s=began_s, ended_s=self._now_s(), failed=failed)
        for listener in self._on_batch:
            listener(report)

"""From use cases that are plain generators to asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

from ..domain.cancel import CancelToken
from ..domain.errors import DeadlineError, OverloadedError
from .drain import Drain

T = TypeVar("T")

_RETRY_S: Final = 30  # what a client whose deadline has passed is told to wait
_FULL_RETRY_S: Final = 5  # and one that finds no place; how soon one is free, nobody knows


class Bridge:
    """Runs the steps of blocking generators on worker threads; nothing of them touches the event loop."""

    def __init__(self, *, workers: int, deadline_s: float, drain: Drain) -> None:
        """Start threads.

        Args:
            workers: How many generators may be under way at a time; further ones are refused.
            deadline_s: How long a generator may take in all.
            drain: Cuts that short where the service goes down.
        """
        self._deadline_s, self._n_free, self._drain = deadline_s, workers, drain
        self._workers: Executor = ThreadPoolExecutor(workers, thread_name_prefix="request")

    def check_room(self) -> None:
        """Refuse another generator early, before it costs anything.

        Raises:
            OverloadedError: As many as there may be are under way.
        """
        if self._n_free <= 0:
            raise OverloadedError(
                "as many transcriptions as are allowed are under way; try again later", retry_after_s=_FULL_RETRY_S
            )

    async def pull(self, start: Callable[[CancelToken], Generator[T, None, None]]) -> AsyncGenerator[T, None]:
        """Yield the steps of `start(token)` as they come.

        Whoever stops listening, or is cancelled, sets the token; by the time that is over the running step has ended
        and the generator is closed, so that nothing uses what the caller lent it any longer.

        Raises:
            OverloadedError: As many as there may be are under way.
            GoingDownError: The service's time was over before.
            DeadlineError: It took too long. The token is set in any case.
        """
        self.check_room()
        self._n_free -= 1
        steps = start(cancel := CancelToken())
        deadline_s = asyncio.get_running_loop().time() + self._deadline_s
        running: Future[T | None] | None = None
        try:
            while True:
                running = self._workers.submit(next, steps, None)
                async with self._drain.within(deadline_s):
                    step = await asyncio.wrap_future(running)
                if step is None:
                    return
                yield step
        except TimeoutError as passed:
            told = f"the audio was not transcribed within the limit of {self._deadline_s:g} s"
            raise DeadlineError(told, retry_after_s=_RETRY_S) from passed
        finally:
            cancel.cancel()
            ending = asyncio.wrap_future(self._workers.submit(_end, steps, running))
            ending.add_done_callback(lambda _: self._release())
            await asyncio.shield(ending)

    def _release(self) -> None:
        self._n_free += 1

    def close(self) -> None:
        """Wait for the running steps and let the threads end."""
        self._workers.shutdown()


def _end(steps: Generator[T, None, None], running: "Future[T | None] | None") -> None:
    if running is not None:
        wait([running])  # it was handed to the workers before this, so it never waits for a thread behind it
    steps.close()

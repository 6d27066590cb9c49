"""From use cases that are plain generators to asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ..domain.cancel import CancelToken

T = TypeVar("T")


class Bridge:
    """Runs the steps of blocking generators on worker threads; nothing of them touches the event loop."""

    def __init__(self, *, workers: int) -> None:
        """`workers` is how many generators may step at a time; further ones wait for a thread."""
        self._workers: Executor = ThreadPoolExecutor(workers, thread_name_prefix="request")

    async def pull(self, start: Callable[[CancelToken], Generator[T, None, None]]) -> AsyncGenerator[T, None]:
        """Yield the steps of `start(token)` as they come.

        Whoever stops listening, or is cancelled, sets the token; by the time that is over the running step has ended
        and the generator is closed, so that nothing uses what the caller lent it any longer.
        """
        steps = start(cancel := CancelToken())
        running: Future[T | None] | None = None
        try:
            while True:
                running = self._workers.submit(next, steps, None)
                step = await asyncio.wrap_future(running)
                if step is None:
                    return
                yield step
        finally:
            cancel.cancel()
            await asyncio.shield(asyncio.wrap_future(self._workers.submit(_end, steps, running)))

    def close(self) -> None:
        """Wait for the running steps and let the threads end."""
        self._workers.shutdown()


def _end(steps: Generator[T, None, None], running: "Future[T | None] | None") -> None:
    if running is not None:
        wait([running])  # it was handed to the workers before this, so it never waits for a thread behind it
    steps.close()

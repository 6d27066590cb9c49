"""From use cases that are plain generators to asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from ..domain.cancel import CancelToken

T = TypeVar("T")


class Bridge:
    """Runs the steps of blocking generators on worker threads; nothing of them touches the event loop."""

    def __init__(self, *, workers: int) -> None:
        """`workers` is how many generators may step at a time; further ones wait for a thread."""
        self._workers: Executor = ThreadPoolExecutor(workers, thread_name_prefix="request")

    async def pull(self, start: Callable[[CancelToken], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Yield the steps of `start(token)` as they come; whoever stops listening, or is cancelled, sets the token."""
        steps = start(cancel := CancelToken())
        try:
            while (step := await asyncio.wrap_future(self._workers.submit(next, steps, None))) is not None:
                yield step
        finally:
            cancel.cancel()

    def close(self) -> None:
        """Wait for the running steps and let the threads end."""
        self._workers.shutdown()

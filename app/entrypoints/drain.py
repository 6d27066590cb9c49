"""How the service goes down: nothing new is begun, and what was begun is finished within a deadline."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

from ..domain.errors import GoingDownError

_RETRY_S: Final = 5  # what a client is told to wait: another instance may well take it at once


class Drain:
    """What is under way, and whether the service is going down. One event loop uses it."""

    def __init__(self, *, farewell_s: float = 2.0) -> None:
        """Begin with nothing; `farewell_s` is granted after the deadline, for telling everybody who is left that it is over."""
        self._farewell_s = farewell_s
        self._until_s = math.inf  # on the loop's clock
        self._under_way: dict[object, Callable[[], None]] = {}  # with how each is told
        self._limits: set[asyncio.Timeout] = set()
        self._one_less = asyncio.Event()

    @property
    def begun(self) -> bool:
        return self._until_s < math.inf

    def begin(self, *, within_s: float) -> None:
        """Begin nothing new, and give what is under way `within_s` seconds. Once begun, it is not begun again."""
        if self.begun:
            return
        self._until_s = asyncio.get_running_loop().time() + within_s
        for limit in self._limits:
            due_s = limit.when()
            if not limit.expired() and (due_s is None or due_s > self._until_s):
                limit.reschedule(self._until_s)
        for tell in tuple(self._under_way.values()):
            tell()

    async def wait(self) -> int:
        """Wait until nothing is under way, or until the time is over; call `begin` before.

        Returns:
            How many requests and live sessions are left.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until_s + self._farewell_s):
                while self._under_way:
                    self._one_less.clear()
                    await self._one_less.wait()  # more may have begun by the time this goes on
        return len(self._under_way)

    @contextmanager
    def work(self, tell: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Count the block as under way.

        Args:
            tell: Called if the service begins to go down meanwhile.
        """
        token = object()
        self._under_way[token] = tell
        try:
            yield
        finally:
            del self._under_way[token]
            self._one_less.set()

    @asynccontextmanager
    async def within(self, until_s: float = math.inf) -> AsyncIterator[None]:
        """Cut the block off at `until_s` on the loop's clock, or earlier where the service goes down before.

        Raises:
            GoingDownError: The service's time was over first.
            TimeoutError: The time was over.
        """
        due_s = min(until_s, self._until_s)
        limit = asyncio.timeout_at(due_s if due_s < math.inf else None)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError as passed:
            if limit.expired() and limit.when() == self._until_s:
                raise going_down() from passed
            raise
        finally:
            self._limits.discard(limit)


def going_down() -> GoingDownError:
    """Return what is told to whoever comes while the service goes down, or is not finished by then."""
    return GoingDownError("the service is going down; try again", retry_after_s=_RETRY_S)

"""What the bridge owes to whoever lends a generator something, and to whoever stops listening."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import aclosing

import pytest

from app.domain.cancel import CancelToken
from app.domain.errors import DeadlineError, OverloadedError
from app.entrypoints.bridge import Bridge
from app.entrypoints.drain import Drain


class Steps:
    """A blocking generator that tells how it went; its second step lasts until the token is set."""

    def __init__(self) -> None:
        self.blocked, self.closed = threading.Event(), threading.Event()

    def start(self, cancel: CancelToken) -> Generator[int, None, None]:
        cancelled = threading.Event()
        cancel.on_cancel(cancelled.set)
        try:
            yield 1
            self.blocked.set()
            assert cancelled.wait(30)
            yield 2
        finally:
            self.closed.set()


def test_all_steps_come_in_order() -> None:
    async def pull() -> list[int]:
        bridge = Bridge(workers=1, deadline_s=30.0, drain=Drain())
        found = [step async for step in bridge.pull(lambda _cancel: (i for i in range(1, 6)))]
        bridge.close()
        return found

    assert asyncio.run(pull()) == [1, 2, 3, 4, 5]


def test_whoever_is_cancelled_finds_the_generator_closed() -> None:
    steps = Steps()

    async def listen(bridge: Bridge) -> None:
        async with aclosing(bridge.pull(steps.start)) as pulled:
            async for _ in pulled:
                pass

    async def run() -> None:
        bridge = Bridge(workers=1, deadline_s=30.0, drain=Drain())
        listening = asyncio.create_task(listen(bridge))
        await asyncio.to_thread(steps.blocked.wait, 30)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert steps.closed.is_set()
        bridge.close()

    asyncio.run(run())


def test_one_generator_too_many_is_refused_until_another_has_ended() -> None:
    steps = Steps()

    async def run() -> None:
        bridge = Bridge(workers=1, deadline_s=30.0, drain=Drain())
        listening = asyncio.create_task(listen(bridge))
        await asyncio.to_thread(steps.blocked.wait, 30)
        with pytest.raises(OverloadedError):
            bridge.check_room()
        with pytest.raises(OverloadedError):
            _ = [step async for step in bridge.pull(steps.start)]
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        bridge.check_room()
        bridge.close()

    async def listen(bridge: Bridge) -> None:
        async for _ in bridge.pull(steps.start):
            pass

    asyncio.run(run())


def test_a_generator_that_takes_too_long_is_ended() -> None:
    steps = Steps()

    async def pull() -> None:
        bridge = Bridge(workers=1, deadline_s=0.05, drain=Drain())
        with pytest.raises(DeadlineError, match=r"0\.05 s") as passed:
            _ = [step async for step in bridge.pull(steps.start)]
        assert passed.value.retry_after_s > 0
        assert steps.closed.is_set()
        bridge.close()

    asyncio.run(pull())


def test_a_failing_step_reaches_the_listener() -> None:
    def fail(_cancel: CancelToken) -> Generator[int, None, None]:
        yield 1
        raise ValueError("no second step")

    async def pull() -> None:
        bridge = Bridge(workers=2, deadline_s=30.0, drain=Drain())
        with pytest.raises(ValueError, match="no second step"):
            _ = [step async for step in bridge.pull(fail)]
        bridge.close()

    asyncio.run(pull())

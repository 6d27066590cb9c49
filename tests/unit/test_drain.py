"""What going down owes to what is under way, and how long that may take."""

import asyncio

import pytest

from app.domain.errors import GoingDownError
from app.entrypoints.drain import Drain

LONG_S = 30.0  # no test waits for this long unless it fails


def test_where_nothing_is_under_way_it_is_over_at_once() -> None:
    async def run() -> int:
        drain = Drain()
        assert not drain.begun
        drain.begin(within_s=LONG_S)
        assert drain.begun
        return await asyncio.wait_for(drain.wait(), LONG_S / 2)

    assert asyncio.run(run()) == 0


def test_what_is_under_way_is_told_once_and_waited_for() -> None:
    async def run() -> None:
        drain = Drain()
        told: list[str] = []
        with drain.work(lambda: told.append("first")):
            with drain.work(lambda: told.append("second")):
                drain.begin(within_s=LONG_S)
                drain.begin(within_s=0.0)  # nothing is begun twice, so this shortens nothing
                waiting = asyncio.create_task(drain.wait())
                await asyncio.sleep(0)
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, LONG_S / 2) == 0
        assert told == ["first", "second"]

    asyncio.run(run())


def test_what_begins_in_the_moment_in_which_the_last_ends_is_waited_for() -> None:
    async def run() -> None:
        drain = Drain()
        with drain.work():
            drain.begin(within_s=LONG_S)
            waiting = asyncio.create_task(drain.wait())
            await asyncio.sleep(0)
        with drain.work():
            for _ in range(3):
                await asyncio.sleep(0)
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, LONG_S / 2) == 0

    asyncio.run(run())


def test_what_is_left_when_the_time_is_over_is_counted() -> None:
    async def run() -> int:
        drain = Drain(farewell_s=0.01)
        with drain.work(), drain.work():
            drain.begin(within_s=0.01)
            return await asyncio.wait_for(drain.wait(), LONG_S)

    assert asyncio.run(run()) == 2


@pytest.mark.parametrize("begins_before", [True, False])
@pytest.mark.parametrize("own_s", [LONG_S, float("inf")])
def test_a_block_is_cut_off_when_the_service_s_time_is_over(begins_before: bool, own_s: float) -> None:
    async def run() -> None:
        drain = Drain()
        if begins_before:
            drain.begin(within_s=0.01)
        else:
            asyncio.get_running_loop().call_later(0.01, lambda: drain.begin(within_s=0.01))
        with pytest.raises(GoingDownError) as failure:
            async with drain.within(asyncio.get_running_loop().time() + own_s):
                await asyncio.sleep(LONG_S)
        assert failure.value.retry_after_s > 0

    asyncio.run(run())


@pytest.mark.parametrize("begins", [True, False])
def test_a_block_whose_own_time_is_over_first_hears_of_that(begins: bool) -> None:
    async def run() -> None:
        drain = Drain()
        if begins:
            drain.begin(within_s=LONG_S)
        with pytest.raises(TimeoutError):
            async with drain.within(asyncio.get_running_loop().time() + 0.01):
                await asyncio.sleep(LONG_S)

    asyncio.run(run())


def test_a_block_that_ends_in_time_notices_nothing_and_its_own_failures_pass() -> None:
    async def run() -> None:
        drain = Drain()
        async with drain.within():
            drain.begin(within_s=LONG_S)
        with pytest.raises(TimeoutError, match="its own"):
            async with drain.within():
                raise TimeoutError("its own")

    asyncio.run(run())

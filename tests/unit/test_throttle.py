"""How long a client that sends small pieces is held back."""

import asyncio
import time

from app.entrypoints.throttle import Throttle


def seconds_for(pieces: list[int], *, at_once: int) -> float:
    async def take_all() -> float:
        throttle = Throttle(small_bytes=100, per_s=50, at_once=at_once)
        began_s = time.monotonic()
        for n_bytes in pieces:
            await throttle.take(n_bytes)
        return time.monotonic() - began_s

    return asyncio.run(take_all())


def test_small_pieces_beyond_those_at_once_come_at_their_rate() -> None:
    assert seconds_for([1] * 40, at_once=20) > 0.3  # 20 at 50 a second, less those that came while it waited


def test_large_pieces_and_the_first_small_ones_wait_for_nothing() -> None:
    assert seconds_for([100] * 10_000 + [99] * 20, at_once=20) < 0.3

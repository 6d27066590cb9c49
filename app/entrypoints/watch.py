"""Whether the model still answers."""

import asyncio
from typing import Final

from ..domain.engine import Engine
from ..domain.errors import DeviceFailedError

_LOOKS: Final = 10  # as often within the limit
_LONGEST_PAUSE_S: Final = 5.0


async def give_up_when_stuck(engine: Engine, *, stuck_s: float) -> None:
    """Give the recogniser up once a call of it has been running for `stuck_s`: a driver that hangs raises nothing, ever."""
    while engine.runs_for_s < stuck_s:  # noqa: ASYNC110  # it grows with time alone: there is no event to wait for
        await asyncio.sleep(min(_LONGEST_PAUSE_S, stuck_s / _LOOKS))
    engine.give_up(DeviceFailedError(f"a batch has been running for {stuck_s:g} s, and is not waited for any longer"))

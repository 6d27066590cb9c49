"""How long a request's body may take to arrive."""

import asyncio
import random
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ...domain.errors import SlowUploadError
from ..drain import Drain

_SPREAD: Final = 0.25  # of the time-out, by which one body's is longer than another's
_PATIENT_S: Final = 5.0  # from the beginning; who is slower than allowed after that is not waited for at every byte
_PAUSE: Final = (0.5, 1.0)  # of the time by which such a client is late, between looks at what it has brought; at random
_LAST_LOOK_S: Final = 0.1  # before it is given up


class UploadClock(ASGIMiddleware):
    """Gives up a body of which nothing more comes, or that comes too slowly; whoever reads it gets the failure.

    A client that dribbles holds its connection until then, and nothing else: no place among the requests that are
    transcribed, no thread, a file only if it has brought some of one. What it brings is looked at ever more rarely, the more it is
    late, and hundreds that came at once are neither looked at nor refused at once: both would hold up everybody else.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, drain: Drain, *, idle_s: float, least_bytes_per_s: float) -> None:
        """Set the limits.

        Args:
            drain: Ends the wait, too.
            idle_s: How long nothing may come.
            least_bytes_per_s: The slowest rate, from the beginning on; for the first `idle_s` seconds any will do.
        """
        self._drain, self._idle_s, self._least_bytes_per_s = drain, idle_s, least_bytes_per_s

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        now_s = asyncio.get_running_loop().time
        began_s, received_bytes, whole = now_s(), 0, False
        idle_s = self._idle_s * random.uniform(1, 1 + _SPREAD)  # noqa: S311  # no secret

        async def receive_in_time() -> Any:
            nonlocal received_bytes, whole
            if whole:
                return await receive()
            on_time_s = began_s + received_bytes / self._least_bytes_per_s
            due_s = idle_s + min(now_s(), on_time_s)
            try:
                async with self._drain.within(due_s):
                    if (late_s := now_s() - on_time_s) > 0 and now_s() > began_s + _PATIENT_S:
                        pause_s = random.uniform(*_PAUSE) * late_s  # noqa: S311
                        await asyncio.sleep(min(pause_s, due_s - _LAST_LOOK_S - now_s()))
                    message: Any = await receive()
            except TimeoutError as passed:
                raise SlowUploadError(received_bytes=received_bytes, idle_s=self._idle_s) from passed
            received_bytes += len(message.get("body", b""))
            whole = not message.get("more_body")
            return message

        await next_app(scope, receive_in_time, send)

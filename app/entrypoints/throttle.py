"""How fast a client may send small pieces: each of them costs far more than its bytes, and others wait meanwhile."""

import asyncio
from typing import Final

_HELD_BACK_S: Final = 0.05  # at a time: to be woken for each piece would cost as much as the pieces; chosen


class Throttle:
    """Holds back a client that sends more small pieces than anybody needs. What is not read yet stays in buffers of the kernel."""

    def __init__(self, *, small_bytes: int, per_s: float, at_once: int) -> None:
        """Set the limits.

        Args:
            small_bytes: From this size on a piece is free.
            per_s: Small pieces that may come in a second, for ever.
            at_once: And beyond these, once.
        """
        self._small_bytes, self._per_s, self._at_once = small_bytes, per_s, at_once
        self._left, self._counted_s = float(at_once), 0.0

    async def take(self, n_bytes: int) -> None:
        """Count a piece, and wait if too many have come."""
        if n_bytes >= self._small_bytes:
            return
        now_s = asyncio.get_running_loop().time()
        self._left = min(self._at_once, self._left + (now_s - self._counted_s) * self._per_s) - 1
        self._counted_s = now_s
        if self._left < 0:
            await asyncio.sleep(_HELD_BACK_S - self._left / self._per_s)

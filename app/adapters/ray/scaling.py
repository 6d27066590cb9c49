"""How many replicas there shall be: by the seconds of audio that wait, which services tell.

Ray Serve's controller runs this, by value: it may import nothing of this package.
"""

import math
from typing import Any, Final

METRIC: Final = "audio_s"
_WANTED: Final = "wanted"


class ByQueuedAudio:
    """One replica for every so many seconds of audio that wait or run: more at once, fewer after a while."""

    def __init__(self, *, replica_audio_s: float, idle_s: float) -> None:
        """Remember how much audio is worth a replica, and for how long, in seconds, fewer must have been enough before any ends."""
        self._replica_audio_s, self._idle_s = replica_audio_s, idle_s

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Return how many there shall be, before bounds, and what to remember; `context` is Ray Serve's.

        Each replica tells what it has read from the board, with the times at which it did; the last of them count.
        """
        now_s: float = context.current_time
        told = (context.raw_metrics or {}).get(METRIC, {})
        needed = math.ceil(max((series[-1].value for series in told.values() if series), default=0.0) / self._replica_audio_s)
        # What was needed at any moment of the last `idle_s` is kept; of these, only those that nothing later exceeds count.
        earlier = [(at_s, n) for at_s, n in context.policy_state.get(_WANTED, []) if at_s > now_s - self._idle_s and n > needed]
        wanted = [*earlier, (now_s, needed)]
        return max(n for _, n in wanted), {_WANTED: wanted}

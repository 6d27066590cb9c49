"""Which waiting clips make the next batch: a pure function of what waits and the time."""

from collections.abc import Sequence

import msgspec


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A clip in the queue, as the planner sees it. Times are seconds on the engine's clock."""

    ticket: int
    duration_s: float
    since_s: float
    live: bool


def next_batch(waiting: Sequence[Waiting], *, now_s: float, padded_s: float, linger_s: float) -> tuple[Waiting, ...]:
    """Choose live before files, then the oldest and what is nearest to it in length; `()` while company may still come.

    The oldest clip of the first class is always in the batch, so nothing starves within its class. Every clip
    costs as much as the longest in its batch, so clips join in the order of how alike in length they are, while
    count times longest stays within `padded_s`. The first clip goes however long it is.
    """
    if not waiting:
        return ()
    live = any(item.live for item in waiting)
    candidates = [item for item in waiting if item.live == live]
    first = min(candidates, key=lambda item: (item.since_s, item.ticket))
    if len(waiting) == 1 and now_s - first.since_s < linger_s:
        return ()
    chosen, longest_s = [first], first.duration_s
    for item in sorted(candidates, key=lambda item: (abs(item.duration_s - first.duration_s), item.ticket)):
        if item is first:
            continue
        stretched_s = max(longest_s, item.duration_s)
        if (len(chosen) + 1) * stretched_s <= padded_s:
            chosen.append(item)
            longest_s = stretched_s
    return tuple(chosen)

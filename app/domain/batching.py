"""Which waiting clips make the next batch: a pure function of what waits, the time, and what the engine is at."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

_ALIKE: Final = 0.5  # of the longest clip's length: a shorter one would mostly pay for zeros; chosen, not tuned
_SLACK_S: Final = 1.0  # clips that differ by less than this always are alike


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A clip in the queue, as the planner sees it. Times are seconds on the engine's clock."""

    ticket: int
    duration_s: float
    since_s: float
    live: bool
    tentative: bool = False  # of a live session that will ask again: what is final goes before it


class BatchRules(msgspec.Struct, frozen=True, kw_only=True):
    """How batches are made; what the operator sets and the recogniser prefers."""

    padded_s: float = math.inf  # most that a batch may cost: clips times the longest of them; the engine asks the recogniser
    linger_s: float = 0.004  # how long an idle recogniser waits for company
    file_patience_s: float = 2.0  # a file's clip that has waited this long takes turns with live batches
    tentative_run_s: float = 0.25  # longest run of a batch of tentative clips: what is final waits for it
    file_run_s: float = 0.3  # longest run of a file batch while a live session is open: a running batch cannot be interrupted


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine is at when it asks for a batch."""

    now_s: float
    company: int = 1  # clips of the last batch: as many may be about to come again
    ahead: bool = False  # every place to run is taken: the batch would only be prepared
    after_live: bool = False  # the last batch was live
    live_open: bool = False  # a live session is open
    file_padded_s: float = math.inf  # padded seconds of files that run within `BatchRules.file_run_s`, by what was measured
    tentative_padded_s: float = math.inf  # the same of tentative clips


def next_batch(waiting: Sequence[Waiting], rules: BatchRules, moment: Moment) -> tuple[Waiting, ...]:
    """Choose live before files, there what is final, then the oldest and those like it in length; `()` while it is better to wait.

    Every clip costs as much as the longest in its batch, so clips join in the order of how alike in length they are,
    while count times longest stays within the batch's size. The oldest clip goes however long it is.

    It is better to wait for company that is likely to come, for `linger_s` at most; and while others run, until a batch
    is full, as it loses nothing by that.

    Nothing starves: a class's oldest clip is in its next batch, and files that have waited `file_patience_s` get every
    other batch at least. So a clip with k older ones of its class goes after at most k batches of its class, its turn
    comes `file_patience_s` plus one live batch later at most, and between two turns of files lies one live batch. Tentative clips
    alone may wait for ever: whoever asked withdraws them when what is final comes.
    """
    if not waiting:
        return ()
    oldest = {item.live: item for item in sorted(waiting, key=_turn, reverse=True)}
    live = True in oldest and not (moment.after_live and False in oldest and _due(oldest[False], rules, moment))
    first = oldest[live]
    alike = [item for item in waiting if (item.live, item.tentative) == (first.live, first.tentative)]
    chosen, full = _alike(alike, first, _most_padded_s(first, rules, moment))
    if moment.ahead:
        go = full and not first.tentative and (live or not moment.live_open)
    else:
        go = full or len(waiting) >= moment.company or moment.now_s - first.since_s >= rules.linger_s
    return chosen if go else ()


def _turn(item: Waiting) -> tuple[bool, float, int]:
    return item.tentative, item.since_s, item.ticket


def _due(item: Waiting, rules: BatchRules, moment: Moment) -> bool:
    return moment.now_s - item.since_s >= rules.file_patience_s


def _most_padded_s(item: Waiting, rules: BatchRules, moment: Moment) -> float:
    if item.tentative:
        return min(rules.padded_s, moment.tentative_padded_s)
    return min(rules.padded_s, moment.file_padded_s) if moment.live_open and not item.live else rules.padded_s


def _alike(candidates: Sequence[Waiting], first: Waiting, size_s: float) -> tuple[tuple[Waiting, ...], bool]:
    """Return `first` with those that join it, and whether there was no room for one more like them."""
    chosen, longest_s, shortest_s = [first], first.duration_s, first.duration_s
    others = [item for item in candidates if item is not first]
    for item in sorted(others, key=lambda item: (abs(item.duration_s - first.duration_s), item.since_s, item.ticket)):
        to_s, from_s = max(longest_s, item.duration_s), min(shortest_s, item.duration_s)
        alike = to_s - from_s <= max(_SLACK_S, (1 - _ALIKE) * to_s)
        if alike and (len(chosen) + 1) * to_s <= size_s:
            chosen.append(item)
            longest_s, shortest_s = to_s, from_s
    return tuple(chosen), (len(chosen) + 1) * longest_s > size_s

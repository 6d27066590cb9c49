"""What became of the requests of a run, and whether that is as it should be."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from .asking import Fate, Told
from .troubles import Done

CUT: Final = "died with its process"  # a broken connection, open when the worker was killed
UNHEARD: Final = "came too late to be heard"  # and one that the service never read, as it had just ended
_GOOD: Final = (Fate.RIGHT, Fate.TOLD, Fate.REFUSED, Fate.LEFT, Fate.UNREACHED, CUT, UNHEARD)
_BAD: Final = (Fate.UNSENT, Fate.BROKEN, Fate.LATE, Fate.WRONG_STATUS, Fate.FOREIGN)
_SHOWN_FAULTS: Final = 20
_UNEXPECTED: Final = frozenset({"stream_failed", "live_session_failed"})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run; it passed if there are no faults."""

    fates: Mapping[str, Counter[str]]  # by kind of request
    done: Sequence[Done]
    faults: Sequence[str]
    seconds: float


def judged(
    told: Sequence[Told], done: Sequence[Done], events: Sequence[Mapping[str, Any]], after: Sequence[str], *, seconds: float
) -> Verdict:
    """Judge a run.

    Args:
        events: What the service logged.
        after: What was wrong when all was over.
    """
    finished = {str(event.get("request_id")): event.get("status") for event in events if event.get("event") == "request_finished"}
    fates: dict[str, Counter[str]] = {}
    faults = list(after)
    for one in told:
        fate = _fate(one, done, finished)
        fates.setdefault(one.ask.kind, Counter())[fate] += 1
        if fate in _BAD:
            status = finished.get(one.ask.request_id)
            known = f"which the service answered with {status}" if status else "of which the service knows nothing"
            last = max((trouble for trouble in done if trouble.at_s <= one.ended_s), key=lambda trouble: trouble.at_s, default=None)
            when = f"{one.ended_s - last.at_s:.2f} s after {last.name}" if last else "before any trouble"
            took_s = one.ended_s - one.began_s
            faults.append(f"request {one.ask.number} ({one.ask.kind}), {known}: {fate} {when}, after {took_s:.2f} s: {one.detail}")
    for event in events:
        if event.get("event") == "drain_ended" and event.get("cut_off"):
            faults.append(f"a drain cut off {event['cut_off']}")
        if event.get("event") in _UNEXPECTED:
            faults.append(f"the service logged {event['event']}: {str(event)[:300]}")
    return Verdict(fates=fates, done=done, faults=faults, seconds=seconds)


def _fate(one: Told, done: Iterable[Done], finished: Collection[str]) -> str:
    """Explain a broken connection, if a kill or the service's end does."""
    if one.fate not in (Fate.BROKEN, Fate.UNSENT):
        return one.fate
    for trouble in done:
        if one.began_s > trouble.gone_s or one.ended_s < trouble.at_s:
            continue
        if trouble.cuts:
            return CUT
        if trouble.ends and one.ask.request_id not in finished:
            return UNHEARD
    return one.fate


def show(name: str, verdict: Verdict, console: Console) -> None:
    """Print the tables."""
    total = sum(verdict.fates.values(), Counter[str]())
    table = Table(title=f"Requests to the service with {name}: {total.total()} in {verdict.seconds:.0f} s")
    for column in ("", *verdict.fates, "all"):
        table.add_column(column, justify="left" if not column else "right")
    for fate in (*_GOOD, *_BAD):
        table.add_row(str(fate), *(str(counted[fate]) for counted in (*verdict.fates.values(), total)))
    console.print(table)
    troubles = Table(title="Troubles, and how long until the service was ready again")
    for column in ("", "times", "median s", "longest s", "notes"):
        troubles.add_column(column, justify="left" if column in ("", "notes") else "right")
    for kind in dict.fromkeys(done.name for done in verdict.done):
        those = [done for done in verdict.done if done.name == kind]
        took_s = sorted(done.ready_s for done in those)
        notes = Counter(done.note for done in those if done.note)
        told = ", ".join(f"{note} ({n})" for note, n in notes.most_common(3))
        troubles.add_row(kind, str(len(those)), f"{took_s[len(took_s) // 2]:.1f}", f"{took_s[-1]:.1f}", told)
    console.print(troubles)
    for fault in verdict.faults[:_SHOWN_FAULTS]:
        console.print(f"FAULT {fault}", markup=False)
    answered = total.total() - sum(total[fate] for fate in _BAD)
    verdict_told = "passed" if not verdict.faults else f"{len(verdict.faults)} faults"
    console.print(f"{answered} of {total.total()} as they should be, {total[Fate.FOREIGN]} with another text: {verdict_told}\n")

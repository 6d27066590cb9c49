"""Arithmetic on answers: percentiles, goodput, medians over rounds, arrival times. Nothing here measures."""

import random
import zlib
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

import msgspec
import numpy as np

from .results import Measure, Row

OK: Final = 200
REFUSED: Final = frozenset({429, 503})
UNANSWERED: Final = 0  # the status of a request that broke, timed out or was given up


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request; times in seconds on one clock of the machine."""

    clip: int  # which of the files it carried
    due_s: float  # when it should be sent: the scheduled arrival in open loop, the sending in closed loop
    done_s: float
    status: int  # of HTTP, or `UNANSWERED`
    audio_s: float = 0.0  # as decoded by the server
    tokens: int | None = None  # known only where the request asked for them
    text: int = 0  # `fingerprint`

    @property
    def latency_ms(self) -> float:
        return (self.done_s - self.due_s) * 1000


def fingerprint(text: str) -> int:
    """Return a number by which two texts can be compared without keeping them."""
    return zlib.crc32(text.encode())


def percentile_ms(values_ms: Sequence[float], percent: float) -> float | None:
    """Return the percentile, linear between the two nearest values (numpy's default); None of nothing."""
    return float(np.percentile(values_ms, percent)) if values_ms else None


def summary(answers: Sequence[Answer], *, wall_s: float, texts: Sequence[int] | None = None) -> Measure:
    """Sum up one phase that took `wall_s`. Latencies are of good answers alone, those of refusals stand by themselves.

    Args:
        texts: The fingerprint that the bare model's text of each clip has, if it is known.
    """
    good = [answer for answer in answers if answer.status == OK]
    refused = [answer.latency_ms for answer in answers if answer.status in REFUSED]
    latencies_ms = [answer.latency_ms for answer in good]
    audio_s = sum(answer.audio_s for answer in good)
    counted = [answer for answer in good if answer.tokens is not None]
    return Measure(
        audio_s_per_s=audio_s / wall_s,
        requests_per_s=len(good) / wall_s,
        p50_ms=percentile_ms(latencies_ms, 50),
        p95_ms=percentile_ms(latencies_ms, 95),
        p99_ms=percentile_ms(latencies_ms, 99),
        tokens_per_audio_s=sum(answer.tokens or 0 for answer in counted) / sum(answer.audio_s for answer in counted)
        if counted
        else None,
        same_text=sum(texts[answer.clip] == answer.text for answer in good) / len(good) if texts and good else None,
        requests=len(answers),
        refused=len(refused),
        refusal_p99_ms=percentile_ms(refused, 99),
        errors=len(answers) - len(good) - len(refused),
    )


def goodput_per_s(answers: Iterable[Answer], *, from_s: float, until_s: float) -> float:
    """Return the good answers per second that came within [from_s, until_s)."""
    return sum(answer.status == OK and from_s <= answer.done_s < until_s for answer in answers) / (until_s - from_s)


def even_arrivals(rate_per_s: float, duration_s: float) -> list[float]:
    """Return arrival times in seconds from the start, evenly spaced."""
    return [i / rate_per_s for i in range(max(1, round(rate_per_s * duration_s)))]


def poisson_arrivals(rate_per_s: float, duration_s: float, seed: int = 0) -> list[float]:
    """Return arrival times in seconds from the start, independent of one another: gaps are exponential.

    They are as many as even arrivals would be, and stretched to the same span: chance moves the gaps, not the rate.
    """
    drawn = random.Random(seed)
    gaps = [drawn.expovariate(1.0) for _ in range(max(1, round(rate_per_s * duration_s)))]
    stretch = len(gaps) / rate_per_s / sum(gaps)
    times, now_s = [], 0.0
    for gap in gaps:
        times.append(now_s)
        now_s += gap * stretch
    return times


def middle(rounds: Sequence[Measure]) -> Measure:
    """Return the median of every field over the rounds that know it; counts of requests, refusals and errors are summed."""
    found = {}
    for field in Measure.__struct_fields__:
        known = [value for measure in rounds if (value := getattr(measure, field)) is not None]
        if field in {"requests", "refused", "errors"}:
            found[field] = sum(known)
        else:
            found[field] = median(known) if known else None
    return Measure(**found)


def ratio(row: Row, base: Row, field: str) -> float | None:
    """Return how `field` of one row compares with another's: the median over rounds of what stands side by side in a round.

    So a machine that is slow for a whole round hurts both alike. Rows that were not run equally often are compared by medians.
    """
    if len(row.rounds) == len(base.rounds):
        pairs = list(zip(row.rounds, base.rounds, strict=True))
    else:
        pairs = [(middle(row.rounds), middle(base.rounds))]
    ratios = [
        mine / theirs for one, other in pairs if (mine := getattr(one, field)) is not None and (theirs := getattr(other, field))
    ]
    return median(ratios) if ratios else None

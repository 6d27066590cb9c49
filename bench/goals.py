"""What the full-size model is to reach, compared with what was measured."""

from typing import Final

import msgspec

from . import names
from .results import Results, Row
from .statistics import middle, ratio

_P50: Final = "p50_ms"
_RATE: Final = "audio_s_per_s"


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its bound; `value` None where it could not be measured."""

    name: str
    value: float | None
    bound: float
    at_least: bool = False  # else at most
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is reached; None of what was not measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals_of(results: Results) -> list[Goal]:
    """Return every goal with its figure."""
    on_bf16_cpu = results.device == "cpu" and results.bf16_cpu
    return [
        Goal(
            name="served throughput at saturation / NeMo transcribe",
            value=_between(saturation(results), results.row(names.NEMO), _RATE),
            bound=0.95,
            at_least=True,
        ),
        Goal(name="one request / bare call, short clip", value=_named(results, names.SHORT, names.BARE_SHORT), bound=1.1),
        Goal(name="one request / bare call, long clip", value=_named(results, names.LONG, names.BARE_LONG), bound=1.1),
        Goal(
            name="bare call / NeMo float32 transcribe, long clip",
            value=_named(results, names.BARE_LONG, names.NEMO32_LONG if results.row(names.NEMO32_LONG) else names.NEMO_LONG),
            bound=0.4 if on_bf16_cpu else 0.7,
        ),
        Goal(name="timestamps: /transcribe with them / plain", value=_named(results, names.TIMES, names.LONG), bound=1.05),
        Goal(name="timestamps: verbose_json with words / plain", value=_named(results, names.WORDS, names.LONG), bound=1.05),
        Goal(name="log-probabilities / plain", value=_named(results, names.LOGPROBS, names.LONG), bound=1.05),
        Goal(
            name="speed of one long file / short clips at saturation",
            value=_between(results.row(names.LONG_FILE), saturation(results), _RATE),
            bound=0.8,
            at_least=True,
        ),
        *_under_load(results),
    ]


def saturation(results: Results) -> Row | None:
    """Return the closed loop with the highest throughput."""
    rows = results.of_kind("closed")
    return max(rows, key=lambda row: middle(row.rounds).audio_s_per_s or 0.0) if rows else None


def best_rate_per_s(results: Results) -> float | None:
    """Return the most requests per second that were ever served of the clips of equal length."""
    rows = results.of_kind("equal", "open", "overload")
    rates = [measure.requests_per_s for row in rows for measure in row.rounds if measure.requests_per_s]
    return max(rates) if rates and results.row(names.EQUAL) else None


def _under_load(results: Results) -> list[Goal]:
    found = []
    if over := results.row(names.OVERLOAD):
        measure, best = middle(over.rounds), best_rate_per_s(results)
        goodput = measure.requests_per_s / best if measure.requests_per_s is not None and best else None
        name = f"goodput at {over.at:g}x overload / best rate"
        found.append(Goal(name=name, value=goodput, bound=0.95, at_least=True))
        found.append(Goal(name="p99 of refusals in overload", value=measure.refusal_p99_ms, bound=50.0, unit="ms"))
    for row in results.of_kind("open"):
        if row.at == 0.8:
            measure = middle(row.rounds)
            tail = measure.p99_ms / measure.p50_ms if measure.p99_ms and measure.p50_ms else None
            found.append(Goal(name=f"p99 / p50 at {row.name}", value=tail, bound=3.0))
    return found


def _named(results: Results, name: str, base: str) -> float | None:
    return _between(results.row(name), results.row(base), _P50)


def _between(row: Row | None, base: Row | None, field: str) -> float | None:
    return ratio(row, base, field) if row and base else None

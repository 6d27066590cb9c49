"""What a run of live sessions found, as it is written to JSON, and what it is to reach."""

from pathlib import Path
from typing import Any, Final

import msgspec

from app.domain.live_rules import LiveRules

from .goals import Goal

PARTIAL_EVERY_MS: Final = 1000 * LiveRules().partial_every_s  # at best: a step of a session must take less
_GOAL_SESSIONS: Final = 8


class LiveMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """So many sessions at a time; None is what could not be known. Delays count from when the sound was spoken."""

    sessions: int
    first_p50_ms: float | None = None  # from the start of speech to the first tentative words
    first_p95_ms: float | None = None
    stable_p50_ms: float | None = None  # from a word's end to its being stable
    stable_p95_ms: float | None = None
    final_p50_ms: float | None = None  # from the end of speech to its final
    final_p95_ms: float | None = None
    recordings: int = 0  # that were spoken
    missed: int = 0  # recordings of which no utterance was heard
    utterances: int = 0
    words: int = 0
    word_error_rate: float | None = None
    changed: float | None = None  # UPWR: words of partials that changed, for each word of a final
    changed_bare: float | None = None  # the same without case and punctuation
    partials_per_s: float | None = None  # messages for each second of speech
    refused: int = 0  # sessions
    errors: int = 0  # sessions that did not end well, and error messages
    unanswered: int = 0  # utterances without exactly one final
    batch_clips: float | None = None  # mean clips in a live batch
    step_mean_ms: float | None = None  # of a live batch, as the model runs it
    step_p95_ms: float | None = None
    wait_p95_ms: float | None = None  # of a clip for its live batch
    cores: float | None = None  # processor seconds per second of the service
    client_cores: float | None = None
    memory_mb: float | None = None
    late_p50_ms: float | None = None  # how much later than a microphone the client sent
    late_p95_ms: float | None = None
    late_most_ms: float | None = None

    @property
    def answer_p95_ms(self) -> float | None:
        """About the longest that a partial's answer takes: the wait's 95th percentile and the run's."""
        return None if self.step_p95_ms is None or self.wait_p95_ms is None else self.step_p95_ms + self.wait_p95_ms

    @property
    def held(self) -> bool | None:
        """Whether the service keeps up: answers take less than the interval of partials, and nobody is refused or fails."""
        if self.answer_p95_ms is None:
            return None
        return self.answer_p95_ms < PARTIAL_EVERY_MS and not (self.refused or self.errors or self.unanswered)


class LiveResults(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    model: str
    plan: dict[str, Any]
    environment: dict[str, str]
    rows: list[LiveMeasure] = []

    @property
    def has_goals(self) -> bool:
        """Whether the goals are for what was measured: the bundled model with a silence limit of 200 ms."""
        return self.model == "bundled" and self.plan.get("silence_ms") == 200

    def write(self, path: Path) -> None:
        """Write JSON that people can read too."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_live_results(path: Path) -> LiveResults:
    """Read what `LiveResults.write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=LiveResults)


def sessions_held(rows: list[LiveMeasure]) -> int | None:
    """Return the most sessions that the service kept up with, as it did with every smaller number that was tried.

    Returns:
        0 if it did not keep up with the fewest; None if nothing is known.
    """
    held = None if all(row.held is None for row in rows) else 0
    for row in sorted(rows, key=lambda row: row.sessions):
        if not row.held:
            break
        held = row.sessions
    return held


def live_goals_of(results: LiveResults) -> list[Goal]:
    """Return the goals with what was measured at their number of sessions."""
    row = next((row for row in results.rows if row.sessions == _GOAL_SESSIONS), LiveMeasure(sessions=0))
    at = f"with {_GOAL_SESSIONS} sessions"
    return [
        Goal(name=f"first tentative words after the start of speech, p50, {at}", value=row.first_p50_ms, bound=400, unit="ms"),
        Goal(name=f"a word stable after its end, p50, {at}", value=row.stable_p50_ms, bound=600, unit="ms"),
        Goal(name=f"final after the end of speech, p50, {at}", value=row.final_p50_ms, bound=350, unit="ms"),
        Goal(name=f"final after the end of speech, p95, {at}", value=row.final_p95_ms, bound=500, unit="ms"),
        Goal(name="sessions held", value=sessions_held(results.rows), bound=_GOAL_SESSIONS, at_least=True),
    ]

"""Live results as tables, and as a picture of delays against the number of sessions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .live_results import PARTIAL_EVERY_MS, LiveMeasure, LiveResults, live_goals_of
from .report import Format, Table, count, facts_table, goal_table, number, share

_DELAYS: Final[dict[str, tuple[str, Format]]] = {  # head: field, format
    "first p50 ms": ("first_p50_ms", count),
    "first p95": ("first_p95_ms", count),
    "stable p50": ("stable_p50_ms", count),
    "stable p95": ("stable_p95_ms", count),
    "final p50": ("final_p50_ms", count),
    "final p95": ("final_p95_ms", count),
    "partials/s": ("partials_per_s", number),
    "changed": ("changed", share),
    "bare": ("changed_bare", share),
    "WER": ("word_error_rate", share),
    "recordings": ("recordings", count),
    "missed": ("missed", count),
    "unanswered": ("unanswered", count),
    "refused": ("refused", count),
    "errors": ("errors", count),
}
_LOAD: Final[dict[str, tuple[str, Format]]] = {
    "step mean ms": ("step_mean_ms", number),
    "step p95": ("step_p95_ms", number),
    "wait p95": ("wait_p95_ms", number),
    "held": ("held", lambda held: "yes" if held else "no"),
    "clips/batch": ("batch_clips", number),
    "cores": ("cores", number),
    "client cores": ("client_cores", number),
    "memory MB": ("memory_mb", count),
    "late p50 ms": ("late_p50_ms", number),
    "late p95": ("late_p95_ms", number),
    "late most": ("late_most_ms", number),
}
_CURVES: Final = {
    "first tentative words": ("first_p50_ms", "first_p95_ms"),
    "word stable": ("stable_p50_ms", "stable_p95_ms"),
    "final": ("final_p50_ms", "final_p95_ms"),
}


def live_tables(results: LiveResults) -> list[Table]:
    """Return every table of a run: delays, load, goals, what it ran on."""
    goals = f"Goals ({results.environment.get('cores')} cores here; they are for 2)" if results.has_goals else "Without goals"
    return [
        _measured(f"{results.model}: live sessions at the pace of speech", results.rows, _DELAYS),
        _measured("What they cost, and how late the client was", results.rows, _LOAD),
        goal_table(goals, live_goals_of(results), bound=results.has_goals),
        facts_table(results.environment | results.plan),
    ]


def _measured(title: str, measures: Sequence[LiveMeasure], columns: Mapping[str, tuple[str, Format]]) -> Table:
    """Return a line for each number of sessions, without the columns nothing is known of."""
    known = {head: column for head, column in columns.items() if any(getattr(row, column[0]) is not None for row in measures)}
    rows = [[str(row.sessions), *(_cell(getattr(row, field), form) for field, form in known.values())] for row in measures]
    return Table(title=title, head=["sessions", *known], rows=rows)


def _cell(value: float | None, form: Format) -> str:
    return "" if value is None else form(value)


def draw_live(results: LiveResults, path: Path) -> None:
    """Write a PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; it is a development dependency.
    """
    from matplotlib.figure import Figure  # late: tables need no picture

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = sorted(results.rows, key=lambda row: row.sessions)
    for i, (name, (middle, high)) in enumerate(_CURVES.items()):
        left.plot(*_points(rows, middle), marker="o", color=f"C{i}", label=f"{name}, p50")
        left.plot(*_points(rows, high), marker="o", color=f"C{i}", linestyle="--", label=f"{name}, p95")
    _scale(left, rows, ylabel="delay from when it was spoken, ms")
    left.set_title("Delay against sessions")
    right.plot(*_points(rows, "step_mean_ms"), marker="o", label="live batch, mean")
    right.plot(*_points(rows, "answer_p95_ms"), marker="o", linestyle="--", label="wait and run, p95 each")
    right.axhline(PARTIAL_EVERY_MS, linestyle=":", color="grey", label="interval of partials")
    _scale(right, rows, ylabel="ms")
    right.set_title("Step against sessions")
    figure.suptitle(f"{results.model}, {results.environment.get('processor')}, {results.environment.get('cores')} cores")
    figure.savefig(path, dpi=120)


def _points(rows: Sequence[LiveMeasure], field: str) -> tuple[list[int], list[float]]:
    known = [(row.sessions, value) for row in rows if (value := getattr(row, field)) is not None]
    return [sessions for sessions, _ in known], [value for _, value in known]


def _scale(axes: Any, rows: Sequence[LiveMeasure], *, ylabel: str) -> None:
    axes.set(xscale="log", xlabel="sessions at a time", ylabel=ylabel, ylim=(0, None))
    axes.set_xticks([row.sessions for row in rows], [str(row.sessions) for row in rows])
    axes.minorticks_off()
    axes.legend()

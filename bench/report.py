"""Results as tables: on a terminal and in Markdown, from the same cells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from .goals import Goal, goals_of
from .names import BARE_LONG, BARE_SHORT, LONG, NEMO, NEMO_LONG, OUTSIDE, SHORT
from .results import Measure, Results, Row
from .statistics import middle, ratio

Format = Callable[[float], str]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of text."""

    title: str
    head: list[str]
    rows: list[list[str]]


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def count(value: float) -> str:
    return f"{value:.0f}"


def share(value: float) -> str:
    return f"{value:.1%}"


_COLUMNS: Final[dict[str, tuple[str, Format]]] = {  # head: field, format
    "audio s/s": ("audio_s_per_s", number),
    "requests/s": ("requests_per_s", number),
    "p50 ms": ("p50_ms", number),
    "p95 ms": ("p95_ms", number),
    "p99 ms": ("p99_ms", number),
    "clips/batch": ("batch_clips", number),
    "batch fill": ("batch_fill", share),
    "tokens/audio s": ("tokens_per_audio_s", number),
    "cores": ("cores", number),
    "client cores": ("client_cores", number),
    "core-ms/request": ("core_ms_per_request", number),
    "memory MB": ("memory_mb", count),
    "device MB": ("device_memory_mb", count),
    "same text": ("same_text", share),
    "requests": ("requests", count),
    "refused": ("refused", count),
    "errors": ("errors", count),
}
_BASES: Final = {SHORT: BARE_SHORT, LONG: BARE_LONG}  # what a latency is compared with; the kinds below go by throughput


def tables(results: Results) -> list[Table]:
    """Return every table of a run: rows, goals, stages, what it ran on."""
    return [_measured(results), _goals(results), _outside(results), _stages(results), _environment(results)]


def show(results: Results, console: Console) -> None:
    """Print the tables of a run."""
    put(tables(results), console)


def markdown(results: Results) -> str:
    """Write the tables of a run as Markdown."""
    return as_markdown(tables(results))


def put(parts: Sequence[Table], console: Console) -> None:
    """Print tables."""
    for table in parts:
        drawn = RichTable(title=table.title, title_justify="left")
        for i, head in enumerate(table.head):
            drawn.add_column(head, justify="left" if i == 0 else "right")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def as_markdown(parts: Sequence[Table]) -> str:
    """Write tables as Markdown."""
    written = []
    for table in parts:
        lines = [table.head, ["---"] + ["---:"] * (len(table.head) - 1), *table.rows]
        written.append(f"## {table.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(written) + "\n"


def _measured(results: Results) -> Table:
    """Return a line for each row, without the columns nothing is known of."""
    measures = {row.name: middle(row.rounds) for row in results.rows}
    known = [head for head, (field, _) in _COLUMNS.items() if any(getattr(found, field) is not None for found in measures.values())]
    rows = [[row.name, *(_cell(measures[row.name], head) for head in known), _compared(results, row)] for row in results.rows]
    title = f"{results.model}, {results.device}, {results.precision}: medians over rounds"
    return Table(title=title, head=["row", *known, "compared"], rows=rows)


def _cell(measure: Measure, head: str) -> str:
    field, form = _COLUMNS[head]
    value = getattr(measure, field)
    return "" if value is None else form(value)


def _compared(results: Results, row: Row) -> str:
    """Return the ratio a row is there for, and to what."""
    if row.kind in {"nemo", "nemo-fp32", "closed", "equal", "long"} and (base := results.row(NEMO)) and row is not base:
        if row.at == 1 and row.kind in {"nemo", "nemo-fp32"}:
            base = results.row(NEMO_LONG) or base
        found = ratio(row, base, "audio_s_per_s")
        return f"{found:.2f}x speed of {base.name}" if found and row is not base else ""
    name = _BASES.get(row.name) or (LONG if row.kind == "single" else "")
    against = results.row(name)
    found = ratio(row, against, "p50_ms") if against else None
    return f"{found:.2f}x time of {name}" if found else ""


def _goals(results: Results) -> Table:
    """Return the figures that have goals; the goals themselves are for the full-size model."""
    title = "Goals" if results.full_size else "The same figures as for the full-size model, without goals"
    return goal_table(title, goals_of(results), bound=results.full_size)


def goal_table(title: str, goals: Sequence[Goal], *, bound: bool) -> Table:
    """Return a line for each goal; unless `bound`, only what was measured."""
    rows = []
    for goal in goals:
        value = "not measured" if goal.value is None else f"{goal.value:.2f} {goal.unit}".strip()
        limit = f"{'>=' if goal.at_least else '<='} {goal.bound:g} {goal.unit}".strip()
        verdict = {True: "yes", False: "no", None: ""}[goal.met]
        rows.append([goal.name, value, *([limit, verdict] if bound else [])])
    return Table(title=title, head=["figure", "measured", *(["goal", "met"] if bound else [])], rows=rows)


def _outside(results: Results) -> Table:
    """Return what a request costs outside the model: the row with the instant model, and the difference of two others."""
    rows = []
    if row := results.row(OUTSIDE):
        measure = middle(row.rounds)
        rows.append([row.name, _cell(measure, "core-ms/request"), _cell(measure, "p50 ms")])
    served, bare = results.row(SHORT), results.row(BARE_SHORT)
    if served and bare:
        over, under = middle(served.rounds), middle(bare.rounds)
        cost = [(getattr(over, field) or 0.0) - (getattr(under, field) or 0.0) for field in ("core_ms_per_request", "p50_ms")]
        rows.append([f"{SHORT} minus {BARE_SHORT} (a difference of large figures: noisy)", *map(number, cost)])
    return Table(title="One request outside the model", head=["row", "core-ms", "ms"], rows=rows)


def _stages(results: Results) -> Table:
    rows = [
        [
            stage.name + ("" if stage.always else " (not in every request)"),
            f"{stage.wall_ms:.2f}",
            "" if stage.core_ms is None else f"{stage.core_ms:.2f}",
        ]
        for stage in results.stages
    ]
    return Table(title="Where the time of one request with the long clip goes", head=["stage", "ms", "core-ms"], rows=rows)


def _environment(results: Results) -> Table:
    return facts_table(results.environment | results.plan)


def facts_table(facts: Mapping[str, object]) -> Table:
    """Return what a run was measured on."""
    return Table(title="Measured on", head=["", "value"], rows=[[name, str(value)] for name, value in facts.items()])

"""Tables and plots of the plan, written into `docs/`: tables between marks of `capacity.md`, plots beside it."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..child import ROOT
from .costs import Measured
from .events import Burst, Day, Zone
from .scenarios import BOUND_S, Fed, Live
from .validation import Compared

DOCS: Final = ROOT / "docs"
PAGE: Final = DOCS / "capacity.md"
_BOUND_LABEL: Final = f"bound, {1000 * BOUND_S:.0f} ms"

Table = Sequence[Sequence[str]]  # the first row is the head


def put(name: str, table: Table, page: Path = PAGE) -> None:
    """Put a table between its marks, `<!-- name -->` and `<!-- end -->`.

    Raises:
        ValueError: The page has no such marks.
    """
    text = page.read_text()
    marked = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"{page} has no place for {name}")
    page.write_text(marked.sub(lambda found: f"{found[1]}\n{markdown(table)}\n{found[2]}", text))


def markdown(table: Table) -> str:
    """Return a table of which all columns but the first are numbers."""
    head, *rows = table
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def costs(found: Measured) -> Table:
    """What was measured of the stages."""
    api = found.api
    rows = (
        ("a file's request, of any length: worker", 1000 * api.loop_request_s, "core-ms"),
        ("each second of it: worker", 1000 * api.loop_audio_s, "core-ms"),
        ("a file's request, of any length: processes that decode", 1000 * api.decode_request_s, "core-ms"),
        ("each second of it: processes that decode", 1000 * api.decode_audio_s, "core-ms"),
        ("each second of a file longer than a minute: voice detection", 1000 * api.detect_audio_s, "core-ms"),
        ("each second of a live session, with partials: worker", 1000 * api.live_s, "core-ms"),
        ("an answer beyond that, with the client's own part", 1000 * api.answer_s, "ms"),
    )
    return [["stage", "takes", "of"], *([name, f"{value:.3g}", unit] for name, value, unit in rows)]


def against(rows: Sequence[Compared]) -> Table:
    """Measured and simulated, side by side."""
    return [
        ["load", "figure", "measured", "simulated", "off"],
        *([row.point, row.figure, f"{row.measured:.4g}", f"{row.simulated:.4g}", f"{row.off:+.0%}"] for row in rows),
    ]


def fed(rows: Sequence[tuple[str, Fed]]) -> Table:
    """What a GPU needs of API cores."""
    head = ["card", "clips", "services", "audio s/s", "GPU busy", "worker cores", "decoding cores"]
    return [
        head,
        *(
            [
                card, f"{row.clip_s:g} s", str(row.services), f"{row.audio_s_per_s:.0f}", f"{row.gpu_busy:.0%}",
                f"{row.loop_cores:.1f}", f"{row.decode_cores:.1f}",
            ]
            for card, row in rows
        ),
    ]  # fmt: skip


def sessions(rows: Sequence[tuple[str, Live]]) -> Table:
    """How live sessions fare."""
    head = ["card", "sessions", "services", "final p50, ms", "p95, ms", "partials/s", "clips a batch", "GPU busy", "worker busy"]
    return [
        head,
        *(
            [
                card, f"{row.sessions:,}", str(row.services), _ms(row.p50_s), _ms(row.p95_s), f"{row.partials_per_s:.1f}",
                f"{row.batch_clips:.1f}", f"{row.gpu_busy:.0%}", f"{row.worker_busy:.0%}",
            ]
            for card, row in rows
        ),
    ]  # fmt: skip


def bursts(rows: Sequence[Burst]) -> Table:
    """What a burst costs."""
    return [
        ["GPUs", "p99 before, s", "p99 from its begin, s", "back to normal after, s", "refused"],
        *(
            [
                str(row.replicas),
                f"{row.p99_before_s:.2f}",
                f"{row.p99_s:.2f}",
                f"{row.recovers_s:.0f}",
                f"{row.refused / row.sent:.0%}",
            ]
            for row in rows
        ),
    ]


def zones(rows: Sequence[Zone]) -> Table:
    """What a lost zone costs."""
    return [
        ["load", "p99 before, s", "p99 while it is gone, s", "p99 from 30 s after, s", "refused", "batches run again"],
        *(
            [
                f"{row.load:.0%}", f"{row.p99_before_s:.2f}", f"{row.p99_s:.2f}", f"{row.p99_after_s:.2f}",
                f"{row.refused / row.sent:.1%}", str(row.batches_again),
            ]
            for row in rows
        ),
    ]  # fmt: skip


def days(rows: Sequence[Day]) -> Table:
    """What a day costs."""
    return [
        ["machines", "machine hours", "p50, s", "p99, s", "refused"],
        *(
            [row.way, f"{row.machine_hours:.0f}", f"{row.p50_s:.1f}", f"{row.p99_s:.1f}", f"{row.refused / row.sent:.1%}"]
            for row in rows
        ),
    ]


def _ms(value_s: float) -> str:
    return f"{1000 * value_s:.0f}" if math.isfinite(value_s) else "none"


def draw_validation(rows: Sequence[Compared]) -> None:
    """Every figure, measured against simulated."""
    figure, axes = _figure()
    for name, mark in (("p50, ms", "o"), ("p99, ms", "s"), ("mean wait, ms", "^")):
        points = [(row.measured, row.simulated) for row in rows if row.figure == name and row.measured > 0]
        axes.plot(*zip(*points, strict=True), mark, label=name, alpha=0.8)
    low, high = axes.get_xlim()
    line = [max(low, 1.0), high]
    axes.plot(line, line, color="grey", linewidth=1)
    axes.fill_between(line, [0.85 * x for x in line], [1.15 * x for x in line], color="grey", alpha=0.2, label="within 15 %")
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="simulated, ms", title="Latencies of files")
    _write(figure, axes, "capacity-validation.svg")


def draw_sessions(curves: Sequence[tuple[str, Sequence[Live]]]) -> None:
    """The 95th percentile of finals against sessions on a GPU."""
    figure, axes = _figure()
    for name, rows in curves:
        axes.plot([row.sessions for row in rows], [1000 * row.p95_s for row in rows], marker="o", markersize=3, label=name)
    axes.axhline(1000 * BOUND_S, color="grey", linestyle="--", label=_BOUND_LABEL)
    axes.set(xscale="log", yscale="log", xlabel="live sessions on one GPU", ylabel="final after the end of speech, p95, ms")
    axes.set_title("Live sessions on a GPU (assumed cards)")
    _write(figure, axes, "capacity-sessions.svg")


def draw_days(rows: Sequence[Day]) -> None:
    """Machines through the day, and what is asked of them."""
    figure, axes = _figure()
    for row in rows:
        axes.step(row.at_h, row.machines, where="post", label=f"machines: {row.way}", linewidth=1)
    other = axes.twinx()
    other.plot(rows[0].at_h[::20], rows[0].rate_per_s[::20], color="grey", linestyle="--")
    other.set(ylabel="clips a second (dashed)", ylim=(0, None))
    axes.set(xlabel="hour", ylabel="machines", ylim=(0, None), title="A day")
    _write(figure, axes, "capacity-day.svg")


def _figure() -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "capacity"})  # the same file for the same figures
    figure = Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.subplots()


def _write(figure: Any, axes: Any, name: str) -> None:
    axes.legend(fontsize="small")
    folder = DOCS / "images"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / name, metadata={"Date": None})

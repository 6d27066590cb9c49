"""A picture of a run: latency against load, throughput against concurrency."""

from pathlib import Path
from typing import Any, Final

from .names import NEMO
from .results import Results
from .statistics import middle

_PERCENTILES: Final = ("p50_ms", "p95_ms", "p99_ms")


def draw(results: Results, path: Path) -> None:
    """Write a PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; it is a development dependency.
    """
    from matplotlib.figure import Figure  # late: tables need no picture

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _latency(results, left)
    _throughput(results, right)
    figure.suptitle(f"{results.model}, {results.environment.get('device', results.device)}, {results.precision}")
    figure.savefig(path, dpi=120)


def _latency(results: Results, axes: Any) -> None:
    chosen = str(results.plan.get("arrivals", ""))
    rows = [row for row in results.of_kind("open") if chosen in row.name]
    for field in _PERCENTILES:
        points = [(100 * (row.at or 0.0), value) for row in rows if (value := getattr(middle(row.rounds), field)) is not None]
        axes.plot(*zip(*sorted(points), strict=True) if points else ([], []), marker="o", label=field.removesuffix("_ms"))
    axes.set(xlabel="load, % of the rate in closed loop", ylabel="latency from the scheduled arrival, ms", ylim=(0, None))
    axes.set_title(f"Latency against load ({chosen} arrivals)")
    axes.legend()


def _throughput(results: Results, axes: Any) -> None:
    points = [(row.at or 0.0, middle(row.rounds).audio_s_per_s or 0.0) for row in results.of_kind("closed")]
    axes.plot(*zip(*sorted(points), strict=True) if points else ([], []), marker="o", label="served over HTTP")
    if row := results.row(NEMO):
        axes.axhline(middle(row.rounds).audio_s_per_s or 0.0, linestyle="--", color="grey", label=row.name)
    axes.set(xscale="log", xlabel="concurrent requests", ylabel="audio seconds per second", ylim=(0, None))
    axes.set_xticks([at for at, _ in points], [f"{at:g}" for at, _ in points])
    axes.set_title("Throughput against concurrency")
    axes.legend()

"""`python -m bench.capacity`: how many machines it takes, by a simulation that is fed with measured costs.

Without a word it simulates, and writes tables and plots into `docs/`; `measure` measures this machine anew.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ..flags import WORK, console, guarded
from . import report
from .costs import MEASURED, Measured, read_measured
from .events import burst, day, lost_zone
from .scenarios import CARDS, QUICKER, TWO_CORES, feeding, live, live_curve, saturated_per_s, sizes
from .validation import compared

_SESSIONS = (5, 10, 20, 40, 60, 80, 120, 160, 240, 320, 480, 640)
_CLIPS_S = (4.0, 15.0, 30.0)
_SERVICES = {"L4": (1, 2, 4), "A100": (1, 2, 4, 8, 16)}
_BURSTS = (1, 2, 4)
_LOADS = (0.5, 0.67, 0.8)
_ZONE_GPUS = 6
_MACHINES = 10


def main() -> int:
    """Measure, or simulate; 0 for success, 1 for a failure, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("plan", "measure"), default="plan", help="`plan` by default.")
    parser.add_argument("--only", choices=list(_PARTS), action="append", help="Of the plan, these parts alone.")
    parser.add_argument("--measured", type=Path, default=MEASURED, help="What was measured (JSON); `measure` writes it.")
    parser.add_argument("--work", type=Path, default=WORK / "capacity", help="Folder for clips and logs.")
    given = parser.parse_args()
    return guarded("bench.capacity", lambda: _measure(given) if given.what == "measure" else _plan(given))


def _measure(given: argparse.Namespace) -> int:
    from .measure import measured, write

    write(measured(given.work.resolve(), console()), given.measured)
    print(f"written: {given.measured}")
    return 0


def _plan(given: argparse.Namespace) -> int:
    found = read_measured(given.measured)
    for name in given.only or _PARTS:
        print(name, flush=True)
        _PARTS[name](found)
    print(f"written: {report.PAGE}")
    return 0


def _costs(found: Measured) -> None:
    report.put("costs", report.costs(found))


def _validation(found: Measured) -> None:
    rows = compared(found)
    report.put("validation", report.against(rows))
    report.draw_validation(rows)


def _feeding(found: Measured) -> None:
    rows = [
        (card, feeding(found, model, clip_s, services))
        for card, model in CARDS.items()
        for clip_s in _CLIPS_S
        for services in _SERVICES[card]
    ]
    report.put("feeding", report.fed(rows))


def _sessions(found: Measured) -> None:
    kinds = {card: (model, True) for card, model in CARDS.items()}
    kinds |= {"A100, 10 ms a batch": (QUICKER, True), "A100, no partials": (CARDS["A100"], False)}
    curves = [(name, live_curve(found, model, _SESSIONS, partials=partials)) for name, (model, partials) in kinds.items()]
    report.put("sessions", report.sessions([(name, row) for name, rows in curves for row in rows]))
    report.draw_sessions(curves)


def _service(found: Measured) -> None:
    rows = [live(found, QUICKER, n, services=1, replicas=4) for n in (10, 20, 40, 60, 80, 100)]
    report.put("service", report.sessions([("four A100, 10 ms a batch", row) for row in rows]))


def _sizes(found: Measured) -> None:
    report.put("sizes", sizes(found))


def _burst(found: Measured) -> None:
    usual_per_s = 0.3 * saturated_per_s(found, CARDS["L4"])
    rows = [burst(found, CARDS["L4"], n, usual_per_s=usual_per_s, times=8.0, lasts_s=20.0) for n in _BURSTS]
    report.put("burst", report.bursts(rows))


def _zone(found: Measured) -> None:
    full_per_s = _ZONE_GPUS * saturated_per_s(found, CARDS["L4"])
    rows = [lost_zone(found, CARDS["L4"], replicas=_ZONE_GPUS, load=load, full_per_s=full_per_s) for load in _LOADS]
    report.put("zone", report.zones(rows))


def _day(found: Measured) -> None:
    peak_per_s = 0.75 * _MACHINES * saturated_per_s(found, TWO_CORES)
    rows = [day(found, TWO_CORES, most=_MACHINES, peak_per_s=peak_per_s, follows=follows) for follows in (False, True)]
    report.put("day", report.days(rows))
    report.draw_days(rows)


_PARTS: dict[str, Callable[[Measured], None]] = {
    "costs": _costs, "validation": _validation, "feeding": _feeding, "sessions": _sessions, "service": _service, "sizes": _sizes,
    "burst": _burst, "zone": _zone, "day": _day,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench`: compare the service with the bare model and with NeMo on this machine."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .chart import draw
from .flags import WORK, add_target, console, guarded, written
from .report import markdown, show
from .results import Results, read_results
from .run import Bench, Target


def main() -> int:
    """Run, or show an earlier run; 0 for success, 1 for a failure, 130 when interrupted."""
    given = _parser().parse_args()
    return guarded("bench", lambda: _run(given, console()))


def _run(given: argparse.Namespace, screen: Console) -> int:
    results = read_results(given.show) if given.show else _measured(given, screen)
    show(results, screen)
    out = given.show.parent if given.show else given.out
    written("bench", out, markdown(results), lambda path: draw(results, path))
    return 0


def _measured(given: argparse.Namespace, screen: Console) -> Results:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, refresh_per_second=2) as progress:  # its drawing takes time from what is measured
        results = Bench(_target(given), progress).run()
    results.write(given.out / "results.json")
    return results


def _target(given: argparse.Namespace) -> Target:
    changes: dict[str, Any] = {
        "rounds": given.rounds, "long_file_s": given.long_file_s, "clients": given.clients, "arrivals": given.arrivals,
    }  # fmt: skip
    return Target(
        model=given.model, device=given.device, precision=given.precision, quick=given.quick, changes=changes,
        settings=dict(given.setting), work=given.work.resolve(), out=given.out.resolve(),
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add_target(parser, out=WORK / "results")
    parser.add_argument("--quick", action="store_true", help="Few rounds and requests: whether it works, hardly how fast.")
    parser.add_argument("--rounds", type=int, help="How often what is compared takes turns.")
    parser.add_argument("--long-file-s", type=float, help="How long the long file is, in seconds; 3600 by default.")
    parser.add_argument("--clients", type=int, help="Processes that send requests; more where one is busy all the time.")
    parser.add_argument("--arrivals", choices=("poisson", "even"), help="In open loop; poisson by default.")
    parser.add_argument("--show", type=Path, metavar="JSON", help="Measure nothing; make table and picture of an earlier run.")
    return parser


if __name__ == "__main__":
    sys.exit(main())

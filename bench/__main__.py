"""`python -m bench`: compare the service with the bare model and with NeMo on this machine."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .chart import draw
from .child import BenchError
from .report import markdown, show
from .results import Results, read_results
from .run import Bench, Target

_FOLDER: Final = Path(__file__).parent
_WORK: Final = _FOLDER / "work"
_TERMINATED: Final = 128 + signal.SIGINT


def main() -> int:
    """Run, or show an earlier run; 0 for success, 1 for a failure, 130 when interrupted."""
    given = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing stays behind
    console = Console(width=None if sys.stdout.isatty() else 250)  # a table in a file has no edge to keep to
    try:
        results = read_results(given.show) if given.show else _measured(given, console)
    except BenchError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; the service and all children are stopped", file=sys.stderr)
        return _TERMINATED
    show(results, console)
    _write(results, given.show.parent if given.show else given.out)
    return 0


def _measured(given: argparse.Namespace, console: Console) -> Results:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as progress:  # its drawing takes time from what is measured
        results = Bench(_target(given), progress).run()
    results.write(given.out / "results.json")
    return results


def _write(results: Results, out: Path) -> None:
    (out / "results.md").write_text(markdown(results))
    written = ["results.json", "results.md"]
    try:
        draw(results, out / "results.png")
        written.append("results.png")
    except ModuleNotFoundError:
        print("bench: no picture, as matplotlib is not installed (uv sync)", file=sys.stderr)
    print(f"{', '.join(written)} in {out}")


def _target(given: argparse.Namespace) -> Target:
    changes: dict[str, Any] = {
        "rounds": given.rounds, "long_file_s": given.long_file_s, "clients": given.clients, "arrivals": given.arrivals,
    }  # fmt: skip
    return Target(
        model=given.model, device=given.device, precision=given.precision, quick=given.quick, changes=changes,
        settings=dict(given.setting), work=given.work.resolve(), out=given.out.resolve(),
    )  # fmt: skip


def _setting(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.startswith("STT_"):
        raise argparse.ArgumentTypeError(f"write STT_NAME=VALUE, not {text}")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--model",
        default="bundled",
        help="`bundled`, `full` (Parakeet's size, random weights, built once: 2.5 GB), or a .nemo file.",
    )
    parser.add_argument("--device", default="auto", help="`auto`, `cpu`, `cuda` or `cuda:N`; of every row.")
    parser.add_argument("--precision", default="auto", help="Of every row but NeMo's float32: `auto`, `float32`, ...")
    parser.add_argument("--quick", action="store_true", help="Few rounds and requests: whether it works, hardly how fast.")
    parser.add_argument("--rounds", type=int, help="How often what is compared takes turns.")
    parser.add_argument("--long-file-s", type=float, help="How long the long file is, in seconds; 3600 by default.")
    parser.add_argument("--clients", type=int, help="Processes that send requests; more where one is busy all the time.")
    parser.add_argument("--arrivals", choices=("poisson", "even"), help="In open loop; poisson by default.")
    parser.add_argument(
        "--setting", type=_setting, action="append", default=[], metavar="STT_NAME=VALUE", help="A setting of the service."
    )
    parser.add_argument("--out", type=Path, default=_WORK / "results", help="Folder for results.json, .md, .png and the logs.")
    parser.add_argument("--work", type=Path, default=_WORK, help="Folder for clips and models.")
    parser.add_argument("--show", type=Path, metavar="JSON", help="Measure nothing; make table and picture of an earlier run.")
    return parser


if __name__ == "__main__":
    sys.exit(main())

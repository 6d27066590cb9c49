"""What the benchmarks' command lines share."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from .child import BenchError

WORK: Final = Path(__file__).parent / "work"
_INTERRUPTED: Final = 128 + signal.SIGINT
_FILE_WIDTH: Final = 250  # characters: a table in a file has no edge to keep to


def add_target(parser: argparse.ArgumentParser, *, out: Path) -> None:
    """Add what says which service is measured, and where the files go."""
    parser.add_argument(
        "--model",
        default="bundled",
        help="`bundled`, `full` (Parakeet's size, random weights, built once: 2.5 GB), or a .nemo file.",
    )
    parser.add_argument("--device", default="auto", help="`auto`, `cpu`, `cuda` or `cuda:N`.")
    parser.add_argument("--precision", default="auto", help="`auto`, `float32`, ...")
    parser.add_argument(
        "--setting", type=_setting, action="append", default=[], metavar="STT_NAME=VALUE", help="A setting of the service."
    )
    parser.add_argument("--out", type=Path, default=out, help="Folder for results.json, .md, .png and the logs.")
    parser.add_argument("--work", type=Path, default=WORK, help="Folder for clips and models.")


def _setting(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.startswith("STT_"):
        raise argparse.ArgumentTypeError(f"write STT_NAME=VALUE, not {text}")
    return name, value


def console() -> Console:
    """Return where tables and progress go."""
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a benchmark; 1 for a failure, 130 when interrupted. SIGTERM is taken as Ctrl-C: nothing stays behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run()
    except BenchError as fault:
        print(f"{name}: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the service and all children are stopped", file=sys.stderr)
        return _INTERRUPTED


def written(name: str, out: Path, markdown: str, draw: Callable[[Path], None]) -> None:
    """Write Markdown and the picture beside the JSON that is there, and say so."""
    (out / "results.md").write_text(markdown)
    files = ["results.json", "results.md"]
    try:
        draw(out / "results.png")
        files.append("results.png")
    except ModuleNotFoundError:
        print(f"{name}: no picture, as matplotlib is not installed (uv sync)", file=sys.stderr)
    print(f"{', '.join(files)} in {out}")

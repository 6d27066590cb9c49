"""Does anything that reads what strangers send break its promises? `just fuzz`

`python -m tests.fuzz` gives every target as much time as it is told: bytes to the readers (atheris), conversations to the live
protocols (hypothesis), and requests made from the API's document (schemathesis). What is found lies in `tests/fuzz/work/findings`.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.table import Table

from bench.flags import console, guarded

from .rounds import FINDINGS, TALKS, Outcome, fuzzed, talked
from .targets import TARGETS


def show(outcomes: Sequence[Outcome]) -> None:
    """Print a line for each target, and what was found."""
    table = Table("target", "seconds", "executions", "corpus", "branches", "findings", title="just fuzz")
    for one in outcomes:
        table.add_row(one.name, f"{one.elapsed_s:.0f}", f"{one.n_executions:,}", one.corpus, one.branches, str(len(one.findings)))
    screen = console()
    screen.print(table)
    for one in outcomes:
        for finding in one.findings:
            screen.print(f"{one.name}: {finding}", style="red", soft_wrap=True)


def main() -> int:
    """Run, print, and return 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="just fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="For each target. Default: 60.")
    parser.add_argument("--only", action="append", default=[], choices=[*TARGETS, *TALKS], help="A target; may be given again.")
    given = parser.parse_args()
    FINDINGS.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in given.only or (*TARGETS, *TALKS):
        print(f"fuzz: {name}", file=sys.stderr)
        outcomes.append(fuzzed(name, given.seconds) if name in TARGETS else talked(name, given.seconds))
    show(outcomes)
    return 1 if any(one.findings for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(guarded("fuzz", main))

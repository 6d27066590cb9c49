"""Does everything that means harm get the answer it must, and does nobody else notice? `just hostile`

`python -m bench.hostile` sends hundreds of files, requests and sessions, each of them wrong in a way of its own, to the
service with the bundled model, and compares each answer with the one that the documents promise. After each it looks for
tracebacks in the log and asks for a text that it knows; in the end it looks for what is left.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..flags import console, guarded
from ..service import SERVE
from ..victim import Victim
from .corpus import FAMILIES, corpus
from .run import Outcome, Runner, Verdict
from .slow import SETTINGS


def show(out: Console, outcome: Outcome) -> int:
    """Print a table by family and what is wrong; return 0 if nothing is."""
    table = Table(title=f"{len(outcome.verdicts)} cases in {outcome.seconds:.0f} s")
    for column in ("family", "cases", "right", "slowest, s", "highest rise of memory, MiB"):
        table.add_column(column, justify="left" if column == "family" else "right")
    for family in FAMILIES:
        _add(table, family, [verdict for verdict in outcome.verdicts if verdict.case.family == family])
    _add(table, "all", outcome.verdicts)
    out.print(table)
    out.print(f"memory at rest: {outcome.before.pss_mb:.0f} MB (PSS) before, {outcome.after.pss_mb:.0f} MB after")
    if outcome.honest_mib:
        out.print(f"an honest file of ten minutes raised memory by {outcome.honest_mib:.0f} MiB")
    for fault in outcome.faults:
        out.print(f"FAULT {fault}", markup=False)
    return 1 if outcome.faults or any(verdict.faults for verdict in outcome.verdicts) else 0


def _add(table: Table, name: str, verdicts: Sequence[Verdict]) -> None:
    if verdicts:
        right = sum(not verdict.faults for verdict in verdicts)
        rises = [verdict.rise_mib for verdict in verdicts if verdict.rise_mib is not None]
        slowest = f"{max(verdict.seconds for verdict in verdicts):.1f}"
        table.add_row(name, str(len(verdicts)), str(right), slowest, f"{max(rises):.0f}" if rises else "")


def main() -> int:
    """Run, print, and return 0 if every case was answered as it must be and nothing is left."""
    parser = argparse.ArgumentParser(prog="just hostile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="FAMILY/NAME", help="Those that begin so; may be given again.")
    parser.add_argument("--list", action="store_true", help="Print the cases' names and send nothing.")
    parser.add_argument("--budget-mib", type=float, default=256, help="By how much a case may raise memory. Default: 256.")
    parser.add_argument("--verbose", action="store_true", help="Print each case as it ends, and what it was told.")
    given = parser.parse_args()
    cases, out = corpus(only=given.only or [""]), console()
    if given.list or not cases:
        for case in cases:
            print(f"{case.family}/{case.name}")
        return 0 if cases else 1

    def tell(verdict: Verdict) -> None:
        rise = "" if verdict.rise_mib is None else f", {verdict.rise_mib:.0f} MiB"
        if verdict.faults or given.verbose:
            out.print(f"{verdict.case.family}/{verdict.case.name}: {verdict.seconds:.1f} s{rise}: {verdict.told}", markup=False)
        for fault in verdict.faults:
            out.print(f"  WRONG {fault}", markup=False)

    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(SERVE, {"STT_MODEL": "bundled", **SETTINGS}, uploads=Path(folder))
        victim.start()
        try:
            victim.wait_until_ready()
            outcome = Runner(victim, budget_mib=given.budget_mib, on_verdict=tell).run(cases)
        finally:
            victim.close()
    return show(out, outcome)


if __name__ == "__main__":
    sys.exit(guarded("hostile", main))

"""One target given its time, in processes of its own: whatever it does to them, the others have theirs."""

import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from .targets import TARGETS

WORK: Final = Path(__file__).parent / "work"
FINDINGS: Final = WORK / "findings"
CASES: Final = Path(__file__).parent / "cases"
TALKS: Final = {  # where hypothesis tries many examples
    "ws": "tests/app/test_ws_in_any_order.py",
    "realtime": "tests/app/test_realtime_in_any_order.py",
    "api": "tests/app/test_openapi_requests.py",
}
_LONGEST_RUN_S: Final = 10  # of one input; then it is a finding
_MOST_MEMORY_MIB: Final = 2_048
_MOST_WORDS: Final = 500  # in a dictionary
_WORD: Final = re.compile(rb"[\w./-]{3,40}")
_STATUS: Final = re.compile(r"^#\d+\s.*cov: (\d+) ft: \d+ corp: (\d+)/", re.MULTILINE)
_EXECUTED: Final = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)
_TRIED: Final = re.compile(r'name="examples" value="(\d+)"')


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one target."""

    name: str
    elapsed_s: float
    n_executions: int
    corpus: str = ""  # inputs that each reach something new
    branches: str = ""  # that they reach together
    findings: tuple[Path, ...]


def fuzzed(name: str, seconds: int) -> Outcome:
    """Give a target of bytes its time, or less if it finds something; what was interesting is kept for the next time."""
    folder, found = WORK / name, FINDINGS / name
    corpus, seeds = folder / "corpus", folder / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    for made in (corpus, seeds, found):
        made.mkdir(parents=True, exist_ok=True)
    sown = list(TARGETS[name].seeds())
    for i, seed in enumerate(sown):
        (seeds / str(i)).write_bytes(seed)
    words = sorted({word for seed in sown for word in _WORD.findall(seed)})[:_MOST_WORDS]
    (folder / "words").write_text("".join(f'"{word.decode("latin-1")}"\n' for word in words if word.isascii()))
    before, began_s, log = set(found.iterdir()), monotonic(), folder / "log"
    flags = {
        "max_total_time": seconds,
        "max_len": TARGETS[name].longest_bytes,
        "timeout": _LONGEST_RUN_S,
        "rss_limit_mb": _MOST_MEMORY_MIB,
        "dict": folder / "words",
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
    }
    folders = [corpus, seeds, *(kept for kept in (CASES / name,) if kept.is_dir())]
    command = [sys.executable, "-m", "tests.fuzz.drive", name, *map(str, folders), *(f"-{flag}={to}" for flag, to in flags.items())]
    with log.open("wb") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    told = log.read_text(errors="replace")
    findings = sorted(set(found.iterdir()) - before)
    branches, kept = [("", ""), *_STATUS.findall(told)][-1]
    executed = _EXECUTED.search(told)
    return Outcome(
        name=name,
        elapsed_s=monotonic() - began_s,
        n_executions=int(executed[1]) if executed else 0,
        corpus=kept,
        branches=branches,
        findings=tuple(findings) or ((log,) if status else ()),  # a fuzzer that could not even run is no good news
    )


def talked(name: str, seconds: int) -> Outcome:
    """Try new examples of a test until its time is over, or one fails: its output is kept, and begins with what was run."""
    n_tried, began_s, facts = 0, monotonic(), WORK / f"{name}.xml"
    while True:
        seed = secrets.randbits(32)
        command = [sys.executable, "-m", "pytest", "-q", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        command += ["-o", "junit_family=xunit1", f"--junitxml={facts}", TALKS[name]]  # xunit2 keeps no examples
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        n_tried += sum(map(int, _TRIED.findall(facts.read_text())))  # as the tests themselves record it
        findings = []
        if ran.returncode:
            findings.append(FINDINGS / f"{name}-{seed}.txt")
            findings[0].write_text(f"{' '.join(command)}\n{ran.stdout}")
        if findings or monotonic() - began_s >= seconds:
            return Outcome(name=name, elapsed_s=monotonic() - began_s, n_executions=n_tried, findings=tuple(findings))

"""How fast `parakeet-stt transcribe` gets through many files, against posting them one after the other. `just bench-files`

The same files and the same model, in turns, round after round: posted one by one to a running service; by `transcribe` through
that service; by `transcribe` with a model of its own, whose loading is told apart.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.entrypoints.cli.transcribe import Summary

from .child import ROOT, BenchError, last_lines
from .clips import ClipFile, mixed_lengths_s, write_clips
from .environment import environment
from .flags import WORK, add_target, console, guarded
from .models import find_model
from .report import Table, as_markdown, facts_table, put
from .service import SERVE, other_variables, running_service

ONE_BY_ONE: Final = "posted one by one"
THROUGH_SERVICE: Final = "transcribe --server"
IN_PROCESS: Final = "transcribe"
_SHORTEST_S, _LONGEST_S = 2.0, 8.0
_N_WARM: Final = 16  # files that the service hears before anything is measured


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All files once, in one way; `start_s` is what came before the first of them: a program's start and a model's loading."""

    way: str
    audio_s: float
    elapsed_s: float
    start_s: float = 0.0


class FilesResults(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and on what."""

    environment: dict[str, str]
    model: str
    n_files: int
    runs: list[Run]


def tables(results: FilesResults) -> list[Table]:
    """Return the rates, medians over the rounds, and what they were measured on."""
    by_way = {way: [run for run in results.runs if run.way == way] for way in (ONE_BY_ONE, THROUGH_SERVICE, IN_PROCESS)}
    rates = {way: median(run.audio_s / run.elapsed_s for run in runs) for way, runs in by_way.items()}
    rows = [
        [
            way,
            f"{rates[way]:.1f}",
            f"{rates[way] / rates[ONE_BY_ONE]:.2f}",
            f"{median(results.n_files / run.elapsed_s for run in runs):.1f}",
            f"{median(run.elapsed_s for run in runs):.1f}",
            f"{median(run.start_s for run in runs):.1f}",
        ]
        for way, runs in by_way.items()
    ]
    title = f"{results.n_files} files of {_SHORTEST_S:g} to {_LONGEST_S:g} s, model {results.model}"
    head = ["way", "audio s/s", "against one by one", "files/s", "s", "s before the first"]
    return [Table(title=title, head=head, rows=rows), facts_table(results.environment)]


def _posted(url: str, clips: Sequence[ClipFile]) -> Run:
    begun_s = time.perf_counter()
    with httpx.Client(base_url=url, timeout=None) as client:  # noqa: S113  # a slow machine is no failure
        for clip in clips:
            with Path(clip.path).open("rb") as file:
                answer = client.post("/v1/audio/transcriptions", files={"file": file}, data={"response_format": "text"})
            if answer.status_code != httpx.codes.OK:
                raise BenchError(f"{clip.path} was answered with {answer.status_code}: {answer.text}")
    return Run(way=ONE_BY_ONE, audio_s=_audio_s(clips), elapsed_s=time.perf_counter() - begun_s)


def _transcribed(way: str, folder: Path, variables: Mapping[str, str], out: Path, *arguments: str) -> Run:
    """Run the command on a folder, as a user does."""
    log_path = out / f"{way.replace(' ', '')}.log"
    with tempfile.TemporaryDirectory() as texts, log_path.open("wb") as log:
        summary = Path(texts) / "summary.json"
        command = [SERVE[0], "transcribe", str(folder), "--output-dir", texts, "--summary", str(summary), *arguments]
        begun_s = time.perf_counter()
        ended = subprocess.run(command, cwd=ROOT, env={**other_variables(), **variables}, stdout=log, stderr=log, check=False)
        whole_s = time.perf_counter() - begun_s
        if ended.returncode:
            raise BenchError(f"`{way}` ended with {ended.returncode}:\n{last_lines(log_path)}")
        told = msgspec.json.decode(summary.read_bytes(), type=Summary)
    return Run(way=way, audio_s=0.0, elapsed_s=told.elapsed_s, start_s=whole_s - told.elapsed_s)


def _audio_s(clips: Sequence[ClipFile]) -> float:
    return sum(clip.duration_s for clip in clips)


def _measured(given: argparse.Namespace, screen: Console) -> FilesResults:
    folder, out = (given.work / f"files-{given.files}").resolve(), given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    clips = write_clips(folder, "file", mixed_lengths_s(given.files, _SHORTEST_S, _LONGEST_S))
    model = find_model(given.model, given.work, clips[:8])
    variables = {"STT_MODEL": model, "STT_DEVICE": given.device, "STT_PRECISION": given.precision, **dict(given.setting)}
    facts, runs = environment(), list[Run]()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        running_service(variables, log_path=out / "service.log") as service,
        Progress(*columns, console=screen, refresh_per_second=2) as progress,
    ):
        ways: dict[str, Callable[[], Run]] = {
            ONE_BY_ONE: lambda: _posted(service.url, clips),
            THROUGH_SERVICE: lambda: _transcribed(THROUGH_SERVICE, folder, {}, out, "--server", service.url),
            IN_PROCESS: lambda: _transcribed(IN_PROCESS, folder, variables, out),
        }
        task = progress.add_task("", total=given.rounds * len(ways))
        _posted(service.url, clips[:_N_WARM])
        for _ in range(given.rounds):
            for way, run in ways.items():
                progress.update(task, description=way)
                runs.append(msgspec.structs.replace(run(), audio_s=_audio_s(clips)))
                progress.advance(task)
    return FilesResults(environment=facts, model=given.model, n_files=given.files, runs=runs)


def _run(given: argparse.Namespace) -> int:
    screen = console()
    results = _measured(given, screen)
    found = tables(results)
    put(found, screen)
    (given.out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    (given.out / "results.md").write_text(as_markdown(found))
    screen.print(f"results.json, results.md in {given.out}")
    return 0


def main() -> int:
    """Run; 0 for success, 1 for a failure, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="just bench-files", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target(parser, out=WORK / "files")
    parser.add_argument("--files", type=int, default=1000, help="How many. Default: 1000.")
    parser.add_argument("--rounds", type=int, default=3, help="How often the ways take turns. Default: 3.")
    given = parser.parse_args()
    return guarded("bench-files", lambda: _run(given))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.live`: how soon live sessions get their words, against how many there are.

The real service, and a client that speaks to `/ws` as microphones do: every session sends its own speech in small pieces, each
when its last sample is spoken, and notes when it hears what.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .child import Child
from .clips import write_clips
from .environment import environment
from .flags import WORK, add_target, console, guarded, written
from .live_client import LiveJob, Log, Spoke
from .live_delays import Delays, delays_of, percentiles_ms, quotient
from .live_report import draw_live, live_tables
from .live_results import LiveMeasure, LiveResults, read_live_results
from .live_speech import Script, write_script
from .metrics import histogram, scraped
from .models import find_model
from .report import as_markdown, put
from .service import Service, running_service
from .usage import Usage

_QUERY: Final = "partials=1&words=1"
_N_TUNING: Final = 8  # clips for a model that is built
_WARM_UP_S: Final = 10.0
_LOOK_S: Final = 0.5  # between two steps of the progress bar


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure."""

    sessions: list[int]
    seconds: float  # of sound in each session
    silence_ms: int
    chunk_ms: float
    clients: int
    settings: dict[str, str]


class LiveBench:
    """One run against a service that is ready."""

    def __init__(self, plan: LivePlan, service: Service, clients: list[Child], clips: Path, progress: Progress) -> None:
        self._plan, self._service, self._clients, self._clips, self._progress = plan, service, clients, clips, progress
        self._task = progress.add_task("")

    def warm_up(self) -> None:
        """Have every part of the service used once: what only the first session pays for is not measured."""
        self._run([write_script(self._clips, 0, _WARM_UP_S)], "warming up")

    def measure(self, n_sessions: int) -> LiveMeasure:
        """Hold so many sessions at a time."""
        scripts = [write_script(self._clips, number, self._plan.seconds) for number in range(n_sessions)]
        before = scraped(self._service.url)
        began_s = time.monotonic()
        with Usage([self._service.process]) as of_service, Usage([client.process for client in self._clients]) as of_clients:
            logs = self._run(scripts, f"{n_sessions} sessions")
        wall_s = time.monotonic() - began_s
        found = delays_of([script.spoken for script in scripts], logs)
        return msgspec.structs.replace(
            _measure(n_sessions, found, before, scraped(self._service.url)),
            recordings=sum(len(script.spoken) for script in scripts),
            cores=of_service.cpu_s / wall_s,
            client_cores=of_clients.cpu_s / wall_s,
            memory_mb=of_service.memory_mb,
        )

    def _run(self, scripts: list[Script], told: str) -> list[Log]:
        """Share sessions among the clients; returns the logs in the scripts' order."""
        shares = [scripts[i :: len(self._clients)] for i in range(min(len(self._clients), len(scripts)))]
        url = f"{self._service.url.replace('http', 'ws', 1)}/ws?{_QUERY}&silence_ms={self._plan.silence_ms}"
        for client, share in zip(self._clients, shares, strict=False):
            client.begin(LiveJob(url=url, files=[script.file.path for script in share], chunk_s=self._plan.chunk_ms / 1000))
        self._wait(max(script.file.duration_s for script in scripts), told)
        logs = [client.result(Spoke).logs for client, _ in zip(self._clients, shares, strict=False)]
        return [logs[i % len(shares)][i // len(shares)] for i in range(len(scripts))]

    def _wait(self, duration_s: float, told: str) -> None:
        """Show how far the sound is; the clients are busy meanwhile."""
        if not self._progress.console.is_terminal:
            self._progress.console.print(told, highlight=False)  # a log shows no bar
        self._progress.reset(self._task, description=told, total=duration_s)
        over_s = time.monotonic() + duration_s
        while (left_s := over_s - time.monotonic()) > 0:
            time.sleep(min(_LOOK_S, left_s))
            self._progress.update(self._task, completed=duration_s - max(0.0, over_s - time.monotonic()))


def _measure(n_sessions: int, found: Delays, before: str, after: str) -> LiveMeasure:
    """Put together what the sessions heard, and what `/metrics` says of live batches between two scrapes."""
    runs, waits, clips = (
        histogram(after, name, priority="live").since(histogram(before, name, priority="live"))
        for name in ("stt_batch_run_seconds", "stt_queue_wait_seconds", "stt_batch_items")
    )
    (first_p50, first_p95), (stable_p50, stable_p95), (final_p50, final_p95), (late_p50, late_p95) = map(
        percentiles_ms, (found.first_ms, found.stable_ms, found.final_ms, found.late_ms)
    )
    return LiveMeasure(
        sessions=n_sessions,
        first_p50_ms=first_p50, first_p95_ms=first_p95, stable_p50_ms=stable_p50, stable_p95_ms=stable_p95,
        final_p50_ms=final_p50, final_p95_ms=final_p95, late_p50_ms=late_p50, late_p95_ms=late_p95,
        late_most_ms=max(found.late_ms, default=None), missed=found.missed, utterances=found.utterances, words=found.words,
        word_error_rate=found.word_error_rate, changed=quotient(found.changed, found.words),
        changed_bare=quotient(found.changed_bare, found.words), partials_per_s=quotient(found.partials, found.speech_s),
        refused=found.refused, errors=found.errors, unanswered=found.unanswered, batch_clips=clips.mean,
        step_mean_ms=_ms(runs.mean), step_p95_ms=_ms(runs.percentile(95)), wait_p95_ms=_ms(waits.percentile(95)),
    )  # fmt: skip


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else 1000 * value_s


def _measured(given: argparse.Namespace, screen: Console) -> LiveResults:
    plan = LivePlan(
        sessions=given.sessions, seconds=given.seconds, silence_ms=given.silence_ms, chunk_ms=given.chunk_ms,
        clients=given.clients, settings=dict(given.setting),
    )  # fmt: skip
    results = LiveResults(model=given.model, plan=msgspec.to_builtins(plan), environment=environment())
    out, clips = given.out.resolve(), given.work.resolve() / "clips"
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=screen, refresh_per_second=2))
        progress.console.print("starting the service", highlight=False)
        model = find_model(given.model, given.work.resolve(), write_clips(clips, "tuning", [4.0] * _N_TUNING))
        settings = {"STT_MAX_LIVE_SESSIONS": str(max(plan.sessions))} | plan.settings
        settings |= {"STT_MODEL": model, "STT_DEVICE": given.device, "STT_PRECISION": given.precision}
        service = stack.enter_context(running_service(settings, log_path=out / "service.log"))
        clients = [stack.enter_context(Child("bench.live_client", log_path=out / f"client-{i}.log")) for i in range(plan.clients)]
        for client in clients:
            client.result(Spoke)
        bench = LiveBench(plan, service, clients, clips, progress)
        bench.warm_up()
        for n_sessions in plan.sessions:
            row = bench.measure(n_sessions)
            results = msgspec.structs.replace(results, rows=[*results.rows, row])
            results.write(out / "results.json")  # after every one: what breaks off leaves what there was
    return results


def _run(given: argparse.Namespace, screen: Console) -> int:
    results = read_live_results(given.show) if given.show else _measured(given, screen)
    put(live_tables(results), screen)
    out = given.show.parent if given.show else given.out.resolve()
    written("bench.live", out, as_markdown(live_tables(results)), lambda path: draw_live(results, path))
    return 0


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def _seconds(text: str) -> float:
    if float(text) < _WARM_UP_S:  # there must be room for a recording
        raise argparse.ArgumentTypeError(f"at least {_WARM_UP_S:g} s")
    return float(text)


def main() -> int:
    """Run, or show an earlier run; 0 for success, 1 for a failure, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__.splitlines()[0])
    add_target(parser, out=WORK / "live")
    parser.add_argument(
        "--sessions", type=_counts, action="extend", metavar="N[,N...]", help="Sessions at a time; 1,2,4,8,16 by default."
    )
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="Sound in each session; 60 by default.")
    parser.add_argument("--silence-ms", type=int, default=200, help="Silence that ends an utterance; 200 by default.")
    parser.add_argument("--chunk-ms", type=float, default=20.0, help="Sound in each message; 20 by default.")
    parser.add_argument("--clients", type=int, default=1, help="Processes that speak; more where sends are late.")
    parser.add_argument("--show", type=Path, metavar="JSON", help="Measure nothing; make table and picture of an earlier run.")
    given = parser.parse_args()
    given.sessions = given.sessions or [1, 2, 4, 8, 16]
    return guarded("bench.live", lambda: _run(given, console()))


if __name__ == "__main__":
    sys.exit(main())

"""A whole run: starts everything, measures what is compared in turns, round after round, and puts the results together."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.progress import Progress

from . import names
from .child import Child
from .clips import ClipFile, write_clips, write_files
from .environment import environment, has_bf16_instructions
from .load import LoadJob
from .models import find_model
from .phases import Clients, of_reference, over_http, overloaded, referred
from .plan import plan_for
from .profile import Profile, ProfileJob
from .reference import Ready
from .results import Kind, Measure, Results, Row, Stage
from .service import INSTANT, Service, running_service
from .statistics import even_arrivals, middle, poisson_arrivals

_SMALL: Final = 100_000_000  # parameters; the goals are for models above
_N_TUNING: Final = 8
Step = tuple[str, Kind, float | None, Callable[[], Measure]]  # name, kind and `at` of a row, and what measures it
_VERBOSE: Final = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure, and where to put things. `settings` are the service's own, STT_ variables."""

    model: str
    device: str
    precision: str
    quick: bool
    changes: dict[str, Any]  # to the plan
    settings: dict[str, str]
    work: Path
    out: Path


class Bench:
    """One run; `progress` shows what happens."""

    def __init__(self, target: Target, progress: Progress) -> None:
        self._target, self._progress = target, progress
        self._rows: dict[str, Row] = {}
        self._stages: list[Stage] = []
        self._batch_size = self._batch_size32 = 0
        self._task = progress.add_task("starting", total=None)

    def run(self) -> Results:
        """Measure everything; whatever was started is ended on leaving, also by an error or Ctrl-C.

        `results.json` is written anew after every phase, so that what breaks off after an hour leaves what there was.
        """
        target = self._target
        target.out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            tuning = write_clips(target.work / "clips", "tuning", [4.0] * _N_TUNING)
            self._say("finding the model")
            model = find_model(target.model, target.work, tuning)
            self._bare, ready = self._reference(stack, "bare", model, target.device, target.precision)
            self._nemo, of_nemo = self._reference(stack, "nemo", model, ready.device, ready.precision)
            ready = msgspec.structs.replace(ready, parameters=of_nemo.parameters)  # ours are packed, and no parameters any more
            self._ready, self._about = ready, environment(ready)
            self._plan = plan_for(small=self._small, device=ready.device, quick=target.quick, **target.changes)
            self._files = write_files(target.work / "clips", self._plan)
            self._nemo32 = self._nemo
            if ready.precision != "float32":
                self._nemo32, _ = self._reference(stack, "nemo", model, ready.device, "float32", log="nemo-float32")
            self._clients = stack.enter_context(Clients(self._plan.clients, target.out))
            self._service = self._started(stack, model, ready)
            self._instant = stack.enter_context(
                running_service(target.settings, log_path=target.out / "instant.log", command=INSTANT)
            )
            self._measure()
            self._stages = self._profile()
            return self._results()

    @property
    def _small(self) -> bool:
        return self._ready.parameters < _SMALL

    def _results(self) -> Results:
        plan = msgspec.to_builtins(self._plan)
        return Results(
            model=self._ready.model_id,
            device=self._ready.device,
            precision=self._ready.precision,
            full_size=not self._small,
            bf16_cpu=has_bf16_instructions(),
            environment=self._about,
            plan=plan | {"settings": self._target.settings, "nemo_batch_size": self._batch_size},
            rows=list(self._rows.values()),
            stages=self._stages,
        )

    def _reference(
        self, stack: ExitStack, kind: str, model: str, device: str, precision: str, *, log: str = ""
    ) -> tuple[Child, Ready]:
        self._say(f"loading {log or kind}")
        log_path = self._target.out / f"{log or kind}.log"
        child = stack.enter_context(Child("bench.reference", kind, model, device, precision, log_path=log_path))
        return child, child.result(Ready)

    def _started(self, stack: ExitStack, model: str, ready: Ready) -> Service:
        self._say("starting the service")
        own = {"STT_MODEL": model, "STT_DEVICE": ready.device, "STT_PRECISION": ready.precision}
        return stack.enter_context(running_service(self._target.settings | own, log_path=self._target.out / "service.log"))

    def _measure(self) -> None:
        plan = self._plan
        steps = self._round_steps()
        closing = self._closing_steps()
        n_tried = 1 if self._nemo32 is self._nemo else 2
        done = self._progress.tasks[self._task].completed
        self._progress.update(self._task, total=done + 2 + n_tried + plan.rounds * len(steps) + len(closing))  # 2: warm-up, profile
        self._say("warming up")
        warmed, self._texts = referred(self._bare, self._files.mixed)
        self._add(names.BARE_ALL, "bare", warmed)
        over_http(self._clients, self._service, self._job(self._files.mixed[:16], concurrency=8))
        over_http(self._clients, self._instant, self._job([self._files.short] * 20))
        self._batch_size = self._best_batch_size(self._nemo)
        self._batch_size32 = self._best_batch_size(self._nemo32) if self._nemo32 is not self._nemo else 0
        for n_th in range(plan.rounds):
            for name, kind, at, step in steps:
                self._say(f"round {n_th + 1} of {plan.rounds}: {name}")
                self._add(name, kind, step(), at)
        for name, kind, at, step in closing:
            self._say(name)
            self._add(name, kind, step(), at)

    def _best_batch_size(self, nemo: Child) -> int:
        """Try NeMo on every third clip and take the size that is fastest."""
        self._say("finding NeMo's best batch size")
        some = sorted(self._files.mixed, key=lambda file: file.duration_s)[::3]
        of_reference(nemo, some[:2], batch_size=2)  # the first call prepares
        rates = {size: of_reference(nemo, some, batch_size=size).audio_s_per_s or 0.0 for size in self._plan.batch_sizes}
        return max(rates, key=lambda size: rates[size])

    def _round_steps(self) -> list[Step]:
        """Return what is compared, in the order in which it takes turns."""
        files, n_single = self._files, self._plan.n_single
        short, long = [files.short] * n_single, [files.long] * n_single
        steps: list[Step] = [
            (names.BARE_SHORT, "bare", 1, lambda: of_reference(self._bare, short)),
            (names.SHORT, "single", 1, lambda: self._http(short)),
            (names.BARE_LONG, "bare", 1, lambda: of_reference(self._bare, long)),
            (names.LONG, "single", 1, lambda: self._http(long)),
            (names.WORDS, "single", 1, lambda: self._http(long, fields=_VERBOSE)),
            (names.TIMES, "single", 1, lambda: self._http(long, path="/transcribe", fields={"include_timestamps": "true"})),
            (names.LOGPROBS, "single", 1, lambda: self._http(long, fields={"include[]": "logprobs"})),
            (names.NEMO_LONG, "nemo", 1, lambda: of_reference(self._nemo, long)),
            (names.NEMO, "nemo", None, self._nemo_on_all),
        ]
        if self._nemo32 is not self._nemo:
            steps += [
                (names.NEMO32_LONG, "nemo-fp32", 1, lambda: of_reference(self._nemo32, long)),
                (names.NEMO32, "nemo-fp32", None, lambda: of_reference(self._nemo32, files.mixed, batch_size=self._batch_size32)),
            ]
        steps += [(f"{n} concurrent", "closed", n, self._closed(n)) for n in self._plan.concurrencies]
        outside = [files.short] * self._plan.n_outside
        steps.append((names.OUTSIDE, "outside", 1, lambda: over_http(self._clients, self._instant, self._job(outside))))
        return steps

    def _closing_steps(self) -> list[Step]:
        """Return what is measured once, because its load depends on what was found, or because it takes long."""
        plan, equal = self._plan, self._files.equal
        wave = [equal[i % len(equal)] for i in range(plan.n_equal)]
        clients = plan.equal_concurrency
        capacity: Step = (names.EQUAL, "equal", clients, lambda: self._http(wave, concurrency=clients))
        steps = [capacity, *(self._open_step(load, plan.arrivals) for load in plan.loads)]
        steps += [self._open_step(0.8, "even" if plan.arrivals == "poisson" else "poisson")]
        steps += [(names.OVERLOAD, "overload", plan.overload, self._overload), capacity]
        timeout_s = max(600.0, 2 * plan.long_file_s)
        return [*steps, (names.LONG_FILE, "long", 1, lambda: self._http([self._files.hour], timeout_s=timeout_s))]

    def _nemo_on_all(self) -> Measure:
        return of_reference(self._nemo, self._files.mixed, batch_size=self._batch_size, texts=self._texts)

    def _closed(self, concurrency: int) -> Callable[[], Measure]:
        return lambda: over_http(
            self._clients, self._service, self._job(self._files.mixed, concurrency=concurrency, timeout_s=600.0), self._texts
        )

    def _open_step(self, load: float, arrivals: str) -> Step:
        def step() -> Measure:
            rate = load * self._capacity_per_s()
            times = (poisson_arrivals if arrivals == "poisson" else even_arrivals)(rate, self._plan.open_s)
            return over_http(self._clients, self._service, self._arriving(times))

        return f"{load:.0%} load, {arrivals} arrivals", "open", load, step

    def _overload(self) -> Measure:
        times = even_arrivals(self._plan.overload * self._capacity_per_s(), self._plan.open_s)
        return overloaded(self._clients, self._service, self._arriving(times), lasts_s=self._plan.open_s)

    def _capacity_per_s(self) -> float:
        return max(measure.requests_per_s or 0.0 for measure in self._rows[names.EQUAL].rounds) or 1.0

    def _arriving(self, times_s: list[float]) -> LoadJob:
        equal = self._files.equal
        files = [equal[i % len(equal)] for i in range(len(times_s))]
        return msgspec.structs.replace(self._job(files), arrivals_s=times_s, timeout_s=self._plan.patience_s)

    def _http(self, files: list[ClipFile], **job: Any) -> Measure:
        return over_http(self._clients, self._service, self._job(files, **job))

    def _job(self, files: list[ClipFile], **job: Any) -> LoadJob:
        unlike = list({file.path: file for file in files}.values())
        number = {file.path: i for i, file in enumerate(unlike)}
        return LoadJob(files=unlike, order=[number[file.path] for file in files], **{"timeout_s": 300.0, **job})

    def _profile(self) -> list[Stage]:
        """Return the stages of a request with the long clip, what waits for the model, and what is left of its latency."""
        self._say("profile")
        files = self._files
        job = ProfileJob(path=files.long.path, path_48k=files.long_48k.path, repeats=self._plan.profile_repeats)
        stages = self._bare.ask(job, Profile).stages
        over = middle(self._rows[names.LONG].rounds)
        left_ms = (over.p50_ms or 0.0) - sum(stage.wall_ms for stage in stages if stage.always)
        if over.queue_ms is not None:
            stages.append(Stage(name="queue (from the service's metrics)", wall_ms=over.queue_ms))
            left_ms -= over.queue_ms
        return [*stages, Stage(name="upload, form, hand-overs, answer (the rest of a request's latency)", wall_ms=left_ms)]

    def _add(self, name: str, kind: Kind, measure: Measure, at: float | None = None) -> None:
        self._rows.setdefault(name, Row(name=name, kind=kind, at=at, rounds=[])).rounds.append(measure)
        self._results().write(self._target.out / "results.json")
        rate, p50_ms = measure.audio_s_per_s or 0.0, measure.p50_ms
        said = f"{name}: {rate:.1f} audio s/s" + (f", p50 {p50_ms:.0f} ms" if p50_ms else "")
        self._progress.console.print(said + (f", {measure.errors} errors" if measure.errors else ""), highlight=False)

    def _say(self, what: str) -> None:
        self._progress.update(self._task, description=what)
        self._progress.advance(self._task)
        if not self._progress.console.is_terminal:
            self._progress.console.print(what, highlight=False)  # a log shows no bar

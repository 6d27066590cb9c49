"""Measures what the service takes besides the model, and a curve to compare the simulation with, on this machine.

The model is the ruler, which waits as long as it is told to: so two cores are enough for many replicas, and the curve is of the
service's own parts (HTTP, decoding, queue, planner, hand-overs) on a model whose costs are known to the millisecond.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil
from rich.console import Console
from rich.progress import Progress

from app.adapters.silero.detector import SileroVoiceDetector
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import Clip
from app.domain.live import LiveSession
from app.domain.live_events import Request
from app.domain.live_rules import LiveRules, Sound
from app.domain.transcript import Transcript
from app.domain.voice_activity import SpanRules
from app.testing.recognizers import FakeRecognizer
from tests.recordings import recordings

from ..child import Child
from ..clips import RATE_HZ, mixed_lengths_s, speech, write_clips, write_wav
from ..clips import recordings as spoken
from ..environment import environment
from ..live import LiveBench, LivePlan
from ..live_client import Spoke
from ..live_drive import timed_finals_of
from ..live_speech import composed
from ..load import LoadJob
from ..metrics import batches_between, histogram, scrape, scraped
from ..phases import Clients, over_http
from ..profile import Stopwatch
from ..service import Service, running_service
from ..statistics import poisson_arrivals, summary
from ..troubled_ruler import AT_A_TIME, PADDED_RUN_S, RECOGNIZER, RUN_S
from .costs import Api, LivePoint, Measured, Model, Point

_RULER: Final = (sys.executable, "-m", "bench.ruler_service")
_SERVE: Final = (sys.executable, "-m", "app", "serve")  # with the real voice detector
_OF_API_S: Final = (2.0, 20.0)  # lengths of the clips that a request's line is drawn through
_N_OF_API: Final = 80
FILES_MODEL: Final = Model(batch_s=0.2, padded_s=0.02)
LIVE_MODEL: Final = Model(batch_s=0.03, padded_s=0.004)
_CLIPS_S: Final = (2.0, 8.0)
_OPEN_S: Final = 40.0
_CLOSED: Final = (1, 4, 16, 64)
_LOADS: Final = (0.3, 0.6, 0.9, 1.5)  # of `_RATE_PER_S`
_RATE_PER_S: Final = 6.0  # clips a second: about what one model of `FILES_MODEL` can take
_FOUR_LOADS: Final = (0.6, 0.9)  # of four times that, with four batches at a time
_SESSIONS: Final = (2, 8, 16)
_LIVE_S: Final = 30.0
_SILENCE_MS: Final = 200  # which ends an utterance
_CHUNK_MS: Final = 20.0  # of sound in a message
_NOTICED_OF_S: Final = 300.0  # of recordings, of which it is noted when their end is noticed
_LONGEST_S: Final = 60.0  # of a clip; no utterance comes near


def measured(out: Path, screen: Console) -> Measured:
    """Measure everything; logs go to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    screen.print("what a request takes", highlight=False)
    loop, decode, answer_s = _api(out)
    files = [*_files(out, screen, at_a_time=1, loads=_LOADS, closed=_CLOSED), *_files(out, screen, at_a_time=4, loads=_FOUR_LOADS)]
    live = _live(out, screen)
    api = Api(
        loop_request_s=loop[0], loop_audio_s=loop[1], decode_request_s=decode[0], decode_audio_s=decode[1],
        live_s=_slope([point.sessions for point in live], [point.cores for point in live])[1],
        detect_audio_s=_detection(), answer_s=answer_s,
    )  # fmt: skip
    lengths_s = [round(pcm.size / RATE_HZ, 3) for pcm in spoken()]
    return Measured(
        environment=environment(), api=api, files=files, live=live, utterances_s=lengths_s, noticed_s=list(_noticed_s())
    )


def _settings(model: Model, **more: str) -> dict[str, str]:
    return {RUN_S: str(model.batch_s), PADDED_RUN_S: str(model.padded_s), "STT_RECOGNIZER": RECOGNIZER, **more}


def _api(out: Path) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return the lines of the worker and of the decoders over a clip's length, and what no core is busy with."""
    files = [write_wav(out / f"{length_s:g}s.wav", speech(spoken(), length_s, 0)) for length_s in _OF_API_S]
    took: list[tuple[float, float, float]] = []  # of the worker, of the processes that decode, of the client's clock
    nothing = Model(batch_s=0.0, padded_s=0.0)
    with (
        Clients(1, out) as clients,
        running_service(_settings(nothing), log_path=out / "api.log", command=_RULER) as service,
    ):
        for file in (files[0], *files):  # the first warms up
            job = LoadJob(files=[file], order=[0] * _N_OF_API)
            before = _core_s(service)
            latency_ms = over_http(clients, service, job).p50_ms or 0.0
            loop_s, decode_s = ((now - was) / _N_OF_API for now, was in zip(_core_s(service), before, strict=True))
            took.append((loop_s, decode_s, latency_ms / 1000))
    loop, decode = (_slope(_OF_API_S, [row[place] for row in took[1:]]) for place in (0, 1))
    loop_s, decode_s, latency_s = took[1]
    return loop, decode, max(0.0, latency_s - loop_s - decode_s)


def _core_s(service: Service) -> tuple[float, float]:
    """Return the processor seconds of the worker, and of the processes that decode for it."""
    worker = service.process.children()[0]
    return _used_s(worker), sum(_used_s(child) for child in worker.children(recursive=True))


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _slope(at: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return where the straight line through the points begins, not below zero, and how it rises."""
    rises, begins = np.polyfit(at, values, 1)
    return max(0.0, float(begins)), float(rises)


def _files(out: Path, screen: Console, *, at_a_time: int, loads: Sequence[float], closed: Sequence[int] = ()) -> list[Point]:
    clips = write_clips(out / "clips", "mixed", mixed_lengths_s(64, *_CLIPS_S))
    jobs: list[tuple[str, LoadJob]] = []
    for load in loads:
        arrivals_s = [round(at_s, 4) for at_s in poisson_arrivals(load * _RATE_PER_S * at_a_time, _OPEN_S, seed=round(100 * load))]
        job = LoadJob(files=clips, order=[i % len(clips) for i in range(len(arrivals_s))], arrivals_s=arrivals_s, timeout_s=120.0)
        jobs.append((f"{load * _RATE_PER_S * at_a_time:.1f} a second", job))
    for n_clients in closed:
        order = [i % len(clips) for i in range(max(32, 4 * n_clients))]
        jobs.append((f"{n_clients} at once", LoadJob(files=clips, order=order, concurrency=n_clients, timeout_s=120.0)))
    settings = _settings(FILES_MODEL, **{AT_A_TIME: str(at_a_time)})
    points = []
    with (
        Clients(1, out) as clients,
        running_service(settings, log_path=out / f"files-{at_a_time}.log", command=_RULER) as service,
    ):
        over_http(clients, service, LoadJob(files=clips, order=list(range(8)), concurrency=8))  # warms up
        for name, job in jobs:
            screen.print(f"{at_a_time} batches at a time, {name}", highlight=False)
            points.append(_point(clients, service, name, job, at_a_time))
    return points


def _point(clients: Clients, service: Service, name: str, job: LoadJob, at_a_time: int) -> Point:
    before = scrape(service.url)
    answers, _, _ = clients.send(job, service)
    batches = batches_between(before, scrape(service.url))
    wall_s = max(answer.done_s for answer in answers) - min(answer.due_s for answer in answers)
    found = summary(answers, wall_s=wall_s)
    return Point(
        name=name, at_a_time=at_a_time, concurrency=0 if job.arrivals_s else job.concurrency, arrivals_s=job.arrivals_s or [],
        lengths_s=[job.files[i].duration_s for i in job.order], model=FILES_MODEL, audio_s_per_s=found.audio_s_per_s or 0.0,
        p50_ms=found.p50_ms or 0.0, p99_ms=found.p99_ms or 0.0, batch_clips=batches["batch_clips"],
        queue_ms=batches["queue_ms"], refused=found.refused or 0,
    )  # fmt: skip


def _live(out: Path, screen: Console) -> list[LivePoint]:
    plan = LivePlan(sessions=list(_SESSIONS), seconds=_LIVE_S, silence_ms=_SILENCE_MS, chunk_ms=_CHUNK_MS, clients=1, settings={})
    points = []
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=screen))
        service = stack.enter_context(running_service(_settings(LIVE_MODEL), log_path=out / "live.log", command=_SERVE))
        client = stack.enter_context(Child("bench.live_client", log_path=out / "live-client.log"))
        client.result(Spoke)
        bench = LiveBench(plan, service, [client], out / "clips", progress)
        bench.warm_up()
        for n_sessions in _SESSIONS:
            before = scraped(service.url)
            row = bench.measure(n_sessions)
            clips = histogram(scraped(service.url), "stt_batch_items", priority="live").since(
                histogram(before, "stt_batch_items", priority="live")
            )
            points.append(
                LivePoint(
                    sessions=n_sessions, model=LIVE_MODEL, seconds=_LIVE_S, final_p50_ms=row.final_p50_ms or 0.0,
                    final_p95_ms=row.final_p95_ms or 0.0, batch_clips=row.batch_clips or 0.0, step_ms=row.step_mean_ms or 0.0,
                    clips_per_s=clips.total / _LIVE_S, cores=row.cores or 0.0,
                )
            )  # fmt: skip
    return points


def _noticed_s() -> Iterator[float]:
    """Yield how long after the end of each recording its final is told by a session whose recogniser answers at once.

    By the clock of the sound, so that no machine has a part in it: it is what voice detection takes for speech, and in frames.
    """
    recognizer = FakeRecognizer("")

    def at_once(request: Request) -> "Future[Transcript]":
        answer: Future[Transcript] = Future()
        answer.set_result(recognizer.recognize([request.clip], [request.options])[0])
        return answer

    resampler = TorchaudioNormalizer().open_resampler(source_rate_hz=RATE_HZ)
    rules = LiveRules(spans=SpanRules(least_silence_s=_SILENCE_MS / 1000), partials=False)
    session = LiveSession(SileroVoiceDetector(), Sound(encoding="pcm_s16le", resampler=resampler), rules, longest_clip_s=_LONGEST_S)
    samples, spoken = composed(recordings(), _NOTICED_OF_S, seed=0)
    data, step = samples.tobytes(), 2 * round(_CHUNK_MS / 1000 * RATE_HZ)
    finals = timed_finals_of(session, (data[at : at + step] for at in range(0, len(data), step)), at_once, latency_s=0.0)
    for said in spoken:
        told_s = [heard_s for heard_s, final in finals if final.start_s < said.end_s and final.end_s > said.start_s]
        if told_s:
            yield round(told_s[-1] - said.end_s, 3)


def _detection() -> float:
    """Return what voice detection takes for a second of a long file, in seconds of one core."""
    detector, clip = SileroVoiceDetector(), Clip(speech(spoken(), 60.0, 0).astype(np.float32) * np.float32(2**-15))
    detector.probabilities(clip)
    watch = Stopwatch(lambda: None)
    for _ in range(3):
        watch.timed("voice detection", lambda: detector.probabilities(clip))
    return (watch.stages()[0].core_ms or 0.0) / 1000 / clip.duration_s


def write(found: Measured, path: Path) -> None:
    """Write what was measured."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")

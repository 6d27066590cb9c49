"""`parakeet-stt transcribe`: many recordings into text, subtitles or JSON, on one model or through a running service."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from ...domain.errors import CancelledError, SpeechError
from ...settings import Settings
from ..http.parameters import FORMATS, checked_keywords
from ..logs import configure_command_logs
from .address import service_address
from .hearing import Asked, Hearing, formats_of, hearing
from .outputs import Targets, check_folder, is_done, targets_of, write_whole
from .progress import Meter, clock
from .sources import Source, UsageError, opened, shown, sources_of

INTERRUPTED: Final = 130  # 128 and SIGINT, as shells say it


class TranscribeArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says, beside the settings."""

    inputs: list[str]
    url: list[str]
    format: str
    output_dir: str | None
    words: bool
    keywords: str
    glob: str | None
    server: str | None
    api_key: str | None
    jobs: int | None
    force: bool
    summary: str | None
    quiet: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one recording, for the summary."""

    source: str
    status: Literal["done", "skipped", "failed", "interrupted"]
    audio_s: float | None = None
    truncated: bool = False
    outputs: list[str] = []
    error: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `--summary` writes. `audio_s`, `elapsed_s` and `speed` are of this run, without the time to load the model."""

    model: str
    audio_s: float
    elapsed_s: float
    speed: float
    done: int
    skipped: int
    failed: int
    files: list[Outcome]


def transcribe(arguments: TranscribeArguments, settings: Settings) -> int:
    """Run the command: 0 if all is written, 1 if a recording failed, 2 for a wrong call, 130 after Ctrl-C."""
    try:
        asked, sources, targets = _planned(arguments)
    except (UsageError, ValueError, SpeechError) as fault:
        print(f"parakeet-stt: {fault}", file=sys.stderr)
        return 2
    configure_command_logs(settings)
    skipped = {i for i, source in enumerate(sources) if targets and not arguments.force and is_done(source, targets[i])}
    work = [(i, source, targets[i] if targets else None) for i, source in enumerate(sources) if i not in skipped]
    outcomes = {i: Outcome(source=sources[i].name, status="skipped") for i in skipped}
    meter = Meter([source.size_bytes for _, source, _ in work], shown=not arguments.quiet)
    model, interrupted = "", False
    try:
        if work:
            with _stopped_by_interrupt(hearing(settings, server=arguments.server, api_key=arguments.api_key)) as way:
                model = way.model
                _Run(way, asked, meter, outcomes, limit_mb=settings.max_upload_mb).all(work, arguments.jobs)
    except KeyboardInterrupt:
        interrupted = True
    except SpeechError as fault:  # no model, and so nothing at all
        print(f"parakeet-stt: {fault}", file=sys.stderr)
        return 1
    finally:
        meter.end()
    ended = [outcomes.get(i, Outcome(source=source.name, status="interrupted")) for i, source in enumerate(sources)]
    return _told(arguments, ended, meter, model, interrupted=interrupted)


def _planned(arguments: TranscribeArguments) -> tuple[Asked, list[Source], list[Targets] | None]:
    """Check everything that can be checked before a model is loaded."""
    formats = formats_of(arguments.format, FORMATS)
    if not formats:
        raise UsageError(f"--format must name one of {', '.join(FORMATS)}")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    if arguments.words and "verbose_json" not in formats:
        raise UsageError("--words adds to verbose_json alone: ask for it with --format")
    if arguments.server:
        service_address(arguments.server)
    keywords = checked_keywords(arguments.keywords.split(","), name="--keywords", field="keywords")
    sources = sources_of(arguments.inputs, arguments.url, arguments.glob)
    asked = Asked(formats=formats, words=arguments.words, keywords=keywords)
    if arguments.summary:
        check_folder(Path(arguments.summary).parent)
    if arguments.output_dir:
        targets = targets_of(sources, formats, Path(arguments.output_dir))
        check_folder(Path(arguments.output_dir))
        return asked, sources, targets
    if len(sources) > 1 or len(formats) > 1:
        raise UsageError(f"{len(sources)} recordings in {len(formats)} formats need an --output-dir; standard output takes one")
    return asked, sources, None


class _Run:
    """Has recordings heard on threads, and writes what they say and, in `outcomes`, what became of each."""

    def __init__(self, way: Hearing, asked: Asked, meter: Meter, outcomes: dict[int, Outcome], *, limit_mb: int) -> None:
        self._way, self._asked, self._meter, self._outcomes, self._limit_mb = way, asked, meter, outcomes, limit_mb

    def all(self, work: list[tuple[int, Source, Targets | None]], jobs: int | None) -> None:
        """Return when all is written; whoever is interrupted here has what was, too, as it ends what has begun."""
        self._meter.begin()
        threads = ThreadPoolExecutor(jobs or self._way.jobs, thread_name_prefix="transcribe")
        asked: list[Future[None]] = []
        try:
            asked.extend(threads.submit(self._noted, at, *one) for at, one in enumerate(work))
            for answer in as_completed(asked):
                answer.result()
        finally:
            if not all(answer.done() for answer in asked):
                self._way.stop()
            threads.shutdown(cancel_futures=True)

    def _noted(self, at: int, number: int, source: Source, targets: Targets | None) -> None:
        self._outcomes[number] = self._one(at, source, targets)

    def _one(self, at: int, source: Source, targets: Targets | None) -> Outcome:
        audio_s: float | None = None
        try:
            with opened(source, limit_mb=self._limit_mb) as file:
                answer = self._way.hear(file, self._asked, on_heard=lambda heard_s: self._meter.heard(at, heard_s, file))
            audio_s = answer.audio_s
            for answer_format, body in answer.bodies.items():
                if targets:
                    write_whole(targets[answer_format], body)
                else:
                    sys.stdout.buffer.write(body)
                    sys.stdout.buffer.flush()
        except CancelledError:
            return Outcome(source=source.name, status="interrupted")
        except (SpeechError, OSError) as fault:
            self._meter.say(f"failed: {source.name}: {fault}")
            return Outcome(source=source.name, status="failed", error=str(fault))
        finally:
            self._meter.over(at, audio_s)
        if answer.truncated:
            self._meter.say(f"broken off: {source.name}: the text is of what is there")
        outputs = [shown(path) for path in targets.values()] if targets else []
        return Outcome(source=source.name, status="done", audio_s=audio_s, truncated=answer.truncated, outputs=outputs)


@contextmanager
def _stopped_by_interrupt(way: Hearing) -> Iterator[Hearing]:
    with way:
        try:
            yield way
        except KeyboardInterrupt:
            way.stop()  # what waits is taken back, so that closing waits for the running batch alone
            raise


def _told(arguments: TranscribeArguments, files: list[Outcome], meter: Meter, model: str, *, interrupted: bool) -> int:
    counted = {status: sum(file.status == status for file in files) for status in ("done", "skipped", "failed")}
    speed = meter.speed if counted["done"] else 0.0
    if not arguments.quiet:
        counts = ", ".join(f"{n} {status}" for status, n in counted.items() if n)
        pace = f"; {clock(meter.audio_s)} of audio in {clock(meter.elapsed_s)}, {speed:.1f} times real time"
        print(f"{counts or 'nothing done'}{pace if meter.audio_s and counted['done'] else ''}", file=sys.stderr)
    if arguments.summary:
        summary = Summary(
            model=model,
            audio_s=round(meter.audio_s, 3),
            elapsed_s=round(meter.elapsed_s, 3),
            speed=round(speed, 2),
            **counted,
            files=files,
        )
        try:
            write_whole(Path(arguments.summary), msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
        except OSError as fault:
            print(f"parakeet-stt: the summary cannot be written: {fault}", file=sys.stderr)
            return 1
    if interrupted:
        return INTERRUPTED
    return 1 if counted["failed"] else 0

"""Where the time of one request goes: the service's own parts, one after another in one process, a clock around each.

What is left of a request's latency over HTTP (upload, form, hand-overs between threads, the answer's way back) cannot be
timed from inside one process; the report gives it as the difference, and the wait for the model from the service's metrics.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np

from app.adapters.nemo.recognizer import NemoRecognizer
from app.adapters.silero.detector import SileroVoiceDetector
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import Clip
from app.domain.ports import DecodeLimits, Options
from app.domain.transcriber import Part
from app.domain.voice_activity import VoiceTrack
from app.entrypoints.http.bodies import DurationUsage, Heard, TranscriptionBody, verbose_body

from .clips import read_wav
from .results import Stage

_LIMITS: Final = DecodeLimits(max_duration_s=86_400)
_RESAMPLE: Final = "resampling from 48 kHz"
_VOICE: Final = "voice detection"
_VERBOSE: Final = "rendering verbose_json with words"
_SOMETIMES: Final = frozenset({_RESAMPLE, _VOICE, _VERBOSE})  # by the file's rate, its length, or what is asked for


class ProfileJob(msgspec.Struct, frozen=True, kw_only=True, tag="profile"):
    """Profile a request with the file at `path`; `path_48k` is the same speech at 48 kHz."""

    path: str
    path_48k: str
    repeats: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of every stage, in the order of a request."""

    stages: list[Stage]


class Stopwatch:
    """Collects what each stage took, wall and processor time of all threads, over repeats."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._taken: dict[str, list[tuple[float, float]]] = {}

    def now(self) -> tuple[float, float]:
        """Return wall and processor seconds once the device has done what it was asked."""
        self._synchronize()
        return time.perf_counter(), time.process_time()

    def add(self, stage: str, since: tuple[float, float], until: tuple[float, float]) -> None:
        """Note a stretch."""
        self._taken.setdefault(stage, []).append((until[0] - since[0], until[1] - since[1]))

    def timed(self, stage: str, call: Callable[[], Any]) -> Any:
        """Note how long a call takes, and return what it returns."""
        since = self.now()
        result = call()
        self.add(stage, since, self.now())
        return result

    def stages(self) -> list[Stage]:
        """Return the medians, in the order in which stages came first."""
        return [
            Stage(
                name=name,
                wall_ms=median(wall for wall, _ in taken) * 1000,
                core_ms=median(core for _, core in taken) * 1000,
                always=name not in _SOMETIMES,
            )
            for name, taken in self._taken.items()
        ]


class _ModelClock:
    """Marks when preprocessor and encoder begin and end, by hooks: the recogniser's own code runs as it is."""

    def __init__(self, model: Any, watch: Stopwatch) -> None:
        self._watch = watch
        self.marks: list[tuple[float, float]] = []
        self._hooks = [
            hook
            for module in (model.preprocessor, model.encoder)
            for hook in (module.register_forward_pre_hook(self._mark), module.register_forward_hook(self._mark))
        ]

    def _mark(self, *_: object) -> None:
        self.marks.append(self._watch.now())

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def profile(recognizer: NemoRecognizer, job: ProfileJob) -> Profile:
    """Run every stage `repeats` times after one that does not count."""
    import torch

    on_cuda = recognizer.facts.device.startswith("cuda")
    parts = (TorchaudioNormalizer(), SileroVoiceDetector())
    watch = Stopwatch(torch.cuda.synchronize if on_cuda else lambda: None)
    for n_th in range(job.repeats + 1):
        if n_th == 1:
            watch = Stopwatch(torch.cuda.synchronize if on_cuda else lambda: None)
        _request(recognizer, *parts, job, watch)
    return Profile(stages=watch.stages())


def _request(
    recognizer: NemoRecognizer, normalizer: TorchaudioNormalizer, detector: SileroVoiceDetector, job: ProfileJob, watch: Stopwatch
) -> None:
    with Path(job.path).open("rb") as file:
        blocks = watch.timed("decode", lambda: [block.samples for block in normalizer.blocks(file, limits=_LIMITS)])
    high = read_wav(job.path_48k)
    resampler = normalizer.open_resampler(source_rate_hz=48_000)
    watch.timed(_RESAMPLE, lambda: (resampler.push(high), resampler.finish()))
    clip = Clip(np.concatenate(blocks))
    voice = watch.timed(_VOICE, lambda: detector.probabilities(clip))
    heard = Heard()
    heard.add(
        Part(
            transcript=_recognized(recognizer, clip, watch),
            heard_s=clip.duration_s,
            voice=VoiceTrack(0.0, voice),
            last=True,
        )
    )
    watch.timed("rendering json", lambda: _json(heard))
    watch.timed(_VERBOSE, lambda: _verbose(heard))


def _recognized(recognizer: NemoRecognizer, clip: Clip, watch: Stopwatch) -> Any:
    clock = _ModelClock(recognizer._model, watch)
    try:
        (transcript,) = recognizer.recognize([clip], [Options()])
        end = watch.now()
    finally:
        clock.remove()
    features_from, features_to, encoder_from, encoder_to = clock.marks
    watch.add("features", features_from, features_to)
    watch.add("encoder", encoder_from, encoder_to)
    watch.add("decoder, reading of tokens included", encoder_to, end)
    return transcript


def _json(heard: Heard) -> bytes:
    return msgspec.json.encode(
        TranscriptionBody(text=heard.transcript.text, usage=DurationUsage(seconds=round(heard.duration_s, 3)))
    )


def _verbose(heard: Heard) -> bytes:
    return msgspec.json.encode(
        verbose_body(heard, task="transcribe", language="english", granularities=frozenset({"word", "segment"}), temperature=0.0)
    )

"""The service's own parts in this process: the bundled model and the real voice detector behind the use case for files."""

import time
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from rich.progress import Progress

from app.adapters.nemo.recognizer import NemoRecognizer
from app.adapters.silero.detector import SileroVoiceDetector
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.batching import BatchRules
from app.domain.cancel import CancelToken
from app.domain.engine import Engine
from app.domain.ports import Block, DecodeLimits, Resampler
from app.domain.transcriber import FileOptions, Transcriber, TranscriberRules
from app.domain.transcript import Transcript, join


class _Given:
    """Hands out samples as a decoded file."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:  # noqa: ARG002  # the port's
        for start in range(0, self._samples.size, MODEL_RATE_HZ):
            yield Block(self._samples[start : start + MODEL_RATE_HZ])

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        raise NotImplementedError


class InProcess:
    """A loaded engine with what is around it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.detector = SileroVoiceDetector()
        self.rules = TranscriberRules(limits=DecodeLimits(max_duration_s=1e6, max_source_samples=1 << 60))
        self.engine = Engine(lambda: NemoRecognizer("bundled"), now_s=time.monotonic, max_waiting_s=1e6, rules=BatchRules())
        self.engine.start()
        self.facts = self.engine.loaded.result().facts

    def close(self) -> None:
        """End the engine's threads."""
        self.engine.close()

    def transcript(self, samples: Samples, told: str = "") -> Transcript:
        """Transcribe as a file; with `told`, show how far it is."""
        task = self.progress.add_task(told, total=samples.size / MODEL_RATE_HZ, visible=bool(told))
        transcriber = Transcriber(normalizer=_Given(samples), detector=self.detector, engine=self.engine, rules=self.rules)
        parts = []
        for part in transcriber.transcribe(BytesIO(), FileOptions(), cancel=CancelToken()):
            parts.append(part.transcript)
            self.progress.update(task, completed=part.heard_s)
        return join(parts)

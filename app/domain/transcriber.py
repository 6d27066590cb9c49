"""Use case: a file in, its transcript out, part by part."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from contextlib import closing
from typing import BinaryIO, Final

import msgspec
import numpy as np

from .audio import MODEL_RATE_HZ, SHORTEST_CLIP_S, Clip, Samples
from .cancel import CancelToken
from .engine import Engine
from .errors import AudioRejectedError, AudioTooShortError, CancelledError
from .ports import AudioNormalizer, Block, DecodeLimits, Options, RecognizerFacts, VoiceDetector
from .queue import Answer
from .seams import Joiner
from .stages import Stage, Stages, extended, with_clip
from .transcript import Transcript
from .voice_activity import SpanRules, VoiceTrack
from .windows import Window, WindowCutter

# Peak amplitude under which nothing can have been said: 2 steps of 16-bit audio, what dithered digital silence holds.
SILENCE_PEAK: Final = 2 / 32_768
_LEAST_AHEAD: Final = 2  # windows of one file in the queue at a time; the next ones are cut when an answer has come
_BATCHES_AHEAD: Final = 2  # or as many as fill this many batches: one to run, one to wait


class TranscriberRules(msgspec.Struct, frozen=True, kw_only=True):
    """How files are cut. Up to `single_pass_s` a file goes to the recogniser whole."""

    single_pass_s: float = 60.0
    window_s: float = 30.0  # longest window of a longer file
    limits: DecodeLimits
    spans: SpanRules = SpanRules()


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a file to be cut by voice activity however short it is.

    With `spans` each span of speech by those rules is recognised by itself; without, the service's own rules cut, and spans
    share a window while they fit.
    """

    spans: SpanRules | None = None


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one request asks for its file."""

    recognition: Options = Options()
    chunking: Chunking | None = None  # None: whole up to `TranscriberRules.single_pass_s`
    voice: bool = False  # tell how likely speech is, too


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The next stretch of the transcript, times on the file's clock. The last part tells the file's length."""

    transcript: Transcript
    start_s: float = 0.0  # of the window it was heard in
    heard_s: float  # decoded so far
    voice: VoiceTrack | None = None  # of the window, if asked for
    last: bool = False
    truncated: bool = False  # the file broke off
    stages: Stages = Stages()  # all that was done so far


class Transcriber:
    """Puts decoding, voice detection and the engine together. Any number of threads may transcribe at once."""

    def __init__(self, *, normalizer: AudioNormalizer, detector: VoiceDetector, engine: Engine, rules: TranscriberRules) -> None:
        self._normalizer, self._detector, self._engine, self._rules = normalizer, detector, engine, rules

    def transcribe(
        self,
        file: BinaryIO,
        options: FileOptions,
        *,
        cancel: CancelToken,
        on_heard: Callable[[float], None] = lambda _duration_s: None,
    ) -> Generator[Part, None, None]:
        """Yield the parts of a file's transcript as they are ready, in order; at least one, the last of which says so.

        Blocks on decoding and on the engine, so it belongs on a thread of its own.

        Args:
            on_heard: Told, in the middle of a step, how many seconds more were decoded; also of a file that comes to nothing.

        Raises:
            AudioRejectedError: Nothing decodable, too short or too long.
            UnavailableError: The model is not ready, or the queue is full.
            RecognitionError: The recogniser failed on a part.
            CancelledError: `cancel` was set; queued work was withdrawn.
        """
        facts = self._engine.recognizer().facts  # before any decoding: without a model the work would be for nothing
        blocks = self._normalizer.blocks(file, limits=self._rules.limits)
        source = _Source(blocks, cancel, on_heard, self._engine.now_s)
        with closing(source):  # a decoder waits for nobody in vain
            yield from self._parts(source, options, cancel, facts)

    def _parts(self, source: "_Source", options: FileOptions, cancel: CancelToken, facts: RecognizerFacts) -> Iterator[Part]:
        single_pass_s, window_s = (min(asked, facts.longest_clip_s) for asked in (self._rules.single_pass_s, self._rules.window_s))
        head = source.read(single_pass_s)
        if head.size < SHORTEST_CLIP_S * MODEL_RATE_HZ:
            if head.size == 0:
                raise AudioRejectedError("the file holds no audio")
            raise AudioTooShortError(duration_s=head.size / MODEL_RATE_HZ, least_s=SHORTEST_CLIP_S)
        if source.ended and options.chunking is None:
            windows: Iterator[Window] = iter([Window(clip=Clip(head), start_s=0.0)])
        else:
            windows = self._windows(head, source, options.chunking, window_s)
        ahead = max(_LEAST_AHEAD, math.ceil(_BATCHES_AHEAD * facts.batch_padded_s / window_s))
        yield from self._recognized(windows, source, options, cancel, ahead)

    def _windows(self, head: Samples, source: "_Source", chunking: Chunking | None, longest_s: float) -> Iterator[Window]:
        asked = chunking.spans if chunking else None
        cutter = WindowCutter(self._detector, rules=asked or self._rules.spans, longest_s=longest_s, packed=asked is None)
        yield from cutter.push(head)
        while not source.ended:
            yield from cutter.push(source.read(longest_s))
        yield from cutter.finish()

    def _recognized(
        self, windows: Iterator[Window], source: "_Source", options: FileOptions, cancel: CancelToken, ahead: int
    ) -> Iterator[Part]:
        asked: deque[tuple[Window, Answer]] = deque()
        joiner, part, admitted, stages = Joiner(), Part(transcript=Transcript(), heard_s=0.0), False, Stages()

        def so_far() -> Stages:
            return msgspec.structs.replace(stages, decode=source.decode)

        def answered() -> Part:
            nonlocal stages
            window, answer = asked.popleft()
            said = window.on_file(_result(answer))
            stages = with_clip(stages, answer.ran) if answer.ran else stages
            cancel.forget(answer.cancel)
            final = joiner.add(said, start_s=window.start_s, end_s=window.end_s, next_start_s=window.next_start_s)
            voice = window.voice_on_file(self._detector.probabilities(window.clip)) if options.voice else None
            return Part(transcript=final, start_s=window.start_s, heard_s=source.heard_s, voice=voice, stages=so_far())

        try:
            for window in windows:
                if np.abs(window.clip.samples).max(initial=0.0) <= SILENCE_PEAK:
                    continue
                cancel.check()
                answer = self._engine.submit(window.clip, options.recognition, admitted=admitted)
                admitted = True  # what was begun is finished, however full the queue is by now
                cancel.on_cancel(answer.cancel)
                asked.append((window, answer))
                while asked and (asked[0][1].done() or len(asked) >= ahead):
                    yield (part := answered())
            while asked:
                yield (part := answered())
        finally:
            for _, answer in asked:
                answer.cancel()
        if (rest := joiner.finish()).tokens:
            yield msgspec.structs.replace(part, transcript=rest)
        yield Part(transcript=Transcript(), heard_s=source.heard_s, last=True, truncated=source.truncated, stages=so_far())


class _Source:
    """A file's decoded samples, read in the lengths that are wanted."""

    def __init__(
        self, blocks: Iterator[Block], cancel: CancelToken, on_heard: Callable[[float], None], now_s: Callable[[], float]
    ) -> None:
        self._blocks, self._cancel, self._on_heard, self._now_s = blocks, cancel, on_heard, now_s
        self.decode: Stage | None = None
        self._rest: Samples = np.zeros(0, np.float32)
        self._heard = 0
        self.ended = False
        self.truncated = False

    @property
    def heard_s(self) -> float:
        return self._heard / MODEL_RATE_HZ

    def close(self) -> None:
        """Give up what was not decoded yet."""
        if isinstance(self._blocks, Generator):
            self._blocks.close()

    def read(self, duration_s: float) -> Samples:
        """Return the next `duration_s` seconds, fewer at the end; `ended` tells that nothing is left."""
        wanted = round(duration_s * MODEL_RATE_HZ)
        got, n_samples = [self._rest], self._rest.size
        while n_samples <= wanted and not self.ended:  # one sample more than wanted: only then is it known that more follows
            self._cancel.check()
            began_s = self._now_s()
            block = next(self._blocks, None)
            self.decode = extended(self.decode, began_s=began_s, ended_s=self._now_s())
            if block is None:
                self.ended = True
                break
            self._heard += block.samples.size
            self._on_heard(block.samples.size / MODEL_RATE_HZ)
            self.truncated = self.truncated or block.truncated
            got.append(block.samples)
            n_samples += block.samples.size
        samples = np.concatenate(got)
        self._rest = samples[wanted:]
        return samples[:wanted]


def _result(answer: Answer) -> Transcript:
    try:
        return answer.result()
    except FutureCancelledError as cancelled:
        raise CancelledError("the request was cancelled") from cancelled

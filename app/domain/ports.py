"""What the service needs from the outside, in its own words. The contract suites check what these docstrings promise."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol, runtime_checkable

import msgspec

from .audio import Clip, Samples
from .transcript import Transcript


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one request asks of the recogniser for its own clip. It travels with the clip, so nothing leaks to a neighbour."""

    keywords: tuple[str, ...] = ()  # words and phrases that may well be said, as they should be written


class RecognizerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded recogniser says of itself."""

    model_id: str
    languages: tuple[str, ...]  # ISO 639-1
    longest_clip_s: float  # a longer clip must be cut before it is handed in
    batch_padded_s: float  # preferred size of a batch: clips times the longest of them, in seconds
    max_concurrent_batches: int = 1  # calls of `recognize` at a time, each from a thread of its own
    prepares_ahead: bool = False  # True: the last of them is only prepared while the others run
    device: str = "cpu"
    precision: str = "float32"
    demonstration: bool = False  # True: real, but nobody should rely on what it writes


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Of a device with memory of its own, in bytes."""

    total_bytes: int
    used_bytes: int  # by whatever process
    reserved_bytes: int  # by this one


class Recognizer(Protocol):
    """Writes down what clips say. Only the engine's owner threads call it."""

    @property
    def facts(self) -> RecognizerFacts: ...

    def configuration(self) -> Mapping[str, Any]:
        """Return the model's resolved configuration as plain mappings, lists and scalars, for operators to read."""

    def device_memory(self) -> DeviceMemory | None:
        """Return how full the device is, None if its memory is the machine's; any thread may ask, at any time."""

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        """Transcribe a batch.

        Args:
            clips: At least one, each with at least one sample and at most `facts.longest_clip_s`; of any lengths, and finite.
            options: One for each clip.

        Returns:
            One transcript for each clip, in order; what a clip's says does not depend on its neighbours. Token times
            are seconds from the clip's own start, never running back, within [0, clip.duration_s]; log-probabilities
            are at most 0. Silence gives no token.

        Raises:
            DeviceFailedError: The device is lost; no later call will succeed.
            UnavailableError: Nothing can take the batch now; whoever waits is told so, and its halves are not tried.
            Exception: Anything else fails this batch alone, out of memory among it; the engine tries its halves.
        """


class ReplicaNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica has done for this process, counted by it."""

    replica: str
    done: int = 0  # batches
    failed: int = 0  # batches that its recogniser failed on
    run_s: float = 0.0  # seconds that its recogniser took in all


@runtime_checkable
class RemoteRecognizer(Protocol):
    """What a `Recognizer` has beside the rest if its model is on machines that come and go."""

    def check_reachable(self) -> None:
        """Tell at once, on whatever thread asks, whether a batch could be taken now.

        Raises:
            UnavailableError: It could not; the engine refuses what is new until it could.
        """

    def n_running(self) -> int:
        """Return how many replicas run, by the last that was heard of it."""

    def replicas(self) -> Sequence[ReplicaNumbers]:
        """Return what those did that this process had answers from lately; any thread may ask, at any time."""


class VoiceStream(Protocol):
    """The ear of one live session; its state is its own, and one thread at a time uses it."""

    def push(self, samples: Samples) -> Samples:
        """Return the probabilities of the frames that `samples`, of any length, completes; the rest waits for the next push.

        Returns:
            float32, shape (n_completed_frames,), within [0.0, 1.0]: however the audio was cut into pushes, the same.
        """


class VoiceDetector(Protocol):
    """Says how likely speech is, one number for each frame of `FRAME_SAMPLES`."""

    def probabilities(self, clip: Clip) -> Samples:
        """Return the speech probability of every frame; several threads may call at once.

        Returns:
            float32, shape (n_frames,), within [0.0, 1.0]; the last frame is filled up with zeros, no sample gives no frame.
        """

    def open_stream(self) -> VoiceStream:
        """Start a live session, which hears nothing of any other."""


class DecodeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one file may hold, counted while decoding, whatever its headers claim."""

    max_duration_s: float
    max_source_samples: int = 8 * 48_000 * 4 * 3600  # all channels counted, before any downmix: 4 h of 8 channels at 48 kHz


class Block(msgspec.Struct, frozen=True, eq=False):
    """The next stretch of a decoded file; `truncated` is True on the last one if the file broke off after it."""

    samples: Samples
    truncated: bool = False


class Resampler(Protocol):
    """Brings one live stream to `MODEL_RATE_HZ`; its state is its own, and one thread at a time uses it."""

    def push(self, samples: Samples) -> Samples:
        """Return what `samples`, float32 of any length at the source rate, completes at the model's rate.

        Joined, the results are what resampling everything at once gives, within 1e-4.
        """

    def finish(self) -> Samples:
        """Return the rest; nothing may be pushed afterwards."""


class AudioNormalizer(Protocol):
    """Brings whatever people send to mono at `MODEL_RATE_HZ`. Several threads may call at once."""

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        """Decode a file as a stream: blocks of at most some seconds, so memory does not grow with length.

        The format is recognised by content. All channels are averaged. A file that breaks off after real audio
        gives what is there; a file with a sound track of no samples gives no block, or empty ones.

        Raises:
            AudioRejectedError: Nothing in it can be decoded, or it is empty.
            AudioTooLongError: It holds more than `limits`; raised as soon as that much was decoded.
        """

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        """Start resampling a live stream.

        Raises:
            ValueError: The rate is outside [8_000, 192_000] Hz.
        """

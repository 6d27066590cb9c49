"""What each stage of the service takes, and where the figures are from: the simulation knows nothing else of a machine."""

from pathlib import Path
from typing import Final

import msgspec

MEASURED: Final = Path(__file__).with_name("measured.json")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch takes: a straight line over its padded seconds, which are clips times the longest of them."""

    batch_s: float  # whatever is in it
    padded_s: float  # for each padded second
    most_padded_s: float = 60.0  # the batch that the recogniser prefers

    def run_s(self, padded_s: float) -> float:
        return self.batch_s + self.padded_s * padded_s


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """What a service takes besides, in seconds of one core. `loop` is its worker, which works on one core at a time."""

    loop_request_s: float  # a file's request, of any length
    loop_audio_s: float  # for each second of it
    decode_request_s: float  # the same in the processes that decode
    decode_audio_s: float
    live_s: float  # for each second of a live session: messages, voice detection, partials
    detect_audio_s: float  # for each second of a file that is longer than a minute: voice detection
    answer_s: float  # what an answer takes beyond all that, with the client's own part; no core is busy with it


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured load of files: what was sent, and what came of it."""

    name: str
    at_a_time: int  # batches
    concurrency: int = 0  # clients in closed loop; 0: `arrivals_s` says when
    arrivals_s: list[float] = []
    lengths_s: list[float] = []  # of the clips, in the order they were sent
    model: Model
    audio_s_per_s: float
    p50_ms: float
    p99_ms: float
    batch_clips: float
    queue_ms: float  # mean wait for the model
    refused: int


class LivePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number of live sessions."""

    sessions: int
    model: Model
    seconds: float
    final_p50_ms: float
    final_p95_ms: float
    batch_clips: float
    step_ms: float  # mean run of a batch
    clips_per_s: float
    cores: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured on one machine."""

    environment: dict[str, str]
    api: Api
    files: list[Point]
    live: list[LivePoint]
    utterances_s: list[float]  # lengths of the recordings that live sessions say
    noticed_s: list[float]  # how long after the end of each its silence has lasted long enough, as voice detection hears it


def read_measured(path: Path = MEASURED) -> Measured:
    """Read what `python -m bench.capacity measure` has written."""
    return msgspec.json.decode(path.read_bytes(), type=Measured)

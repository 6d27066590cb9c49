"""What a run found, as it is written to JSON."""

from pathlib import Path
from typing import Any, Literal

import msgspec

Kind = Literal["bare", "nemo", "nemo-fp32", "single", "closed", "equal", "open", "overload", "long", "outside"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of one row in one round; None is what could not be known."""

    audio_s_per_s: float | None = None  # seconds of decoded audio per second: the inverse of the real-time factor
    requests_per_s: float | None = None  # answered with 200; in overload the goodput while arrivals last
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    batch_clips: float | None = None  # mean clips in a batch
    batch_fill: float | None = None  # real over padded seconds, (0, 1]
    queue_ms: float | None = None  # mean wait of a clip for the model
    tokens_per_audio_s: float | None = None
    cores: float | None = None  # processor seconds per second, of the process under test with its children
    client_cores: float | None = None
    core_ms_per_request: float | None = None  # of the process under test
    memory_mb: float | None = None  # highest resident set of the process under test with its children, pages shared counted twice
    device_memory_mb: float | None = None  # on a CUDA device, at the end of the phase
    same_text: float | None = None  # share of answers with the bare call's text
    requests: int = 0
    refused: int = 0  # answered with 429 or 503
    refusal_p99_ms: float | None = None
    errors: int = 0  # any other failure, no answer in time included


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured, once per round. `at` is the number of concurrent requests, or the load offered."""

    name: str
    kind: Kind
    at: float | None = None
    rounds: list[Measure] = []


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of a request takes, by itself in one process: medians, milliseconds."""

    name: str
    wall_ms: float
    core_ms: float | None = None
    always: bool = True  # whether every request passes it


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    model: str
    device: str
    precision: str
    full_size: bool  # whether the goals are for this model
    bf16_cpu: bool  # whether a CPU computes with bfloat16 instructions
    environment: dict[str, str]
    plan: dict[str, Any]
    rows: list[Row]
    stages: list[Stage]

    def row(self, name: str) -> Row | None:
        """Return the row with that name."""
        return next((row for row in self.rows if row.name == name), None)

    def of_kind(self, *kinds: Kind) -> list[Row]:
        """Return the rows of these kinds, in the order of the run."""
        return [row for row in self.rows if row.kind in kinds]

    def write(self, path: Path) -> None:
        """Write JSON that people can read too."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_results(path: Path) -> Results:
    """Read what `Results.write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)

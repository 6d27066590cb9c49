"""Speech of wanted lengths, made of the recordings the tests use: WAV files, 16 bit, mono."""

import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .plan import Plan

RATE_HZ: Final = 16_000
_RECORDINGS: Final = Path(__file__).parents[1] / "tests" / "data"
_GOLDEN: Final = 0.6180339887498949  # its multiples modulo 1 fill a range evenly, whatever their number

Pcm = NDArray[np.int16]


class ClipFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file and how long it lasts."""

    path: str
    duration_s: float


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The audio of a run."""

    mixed: list[ClipFile]
    equal: list[ClipFile]
    short: ClipFile
    long: ClipFile
    long_48k: ClipFile  # every sample of `long` three times: for the resampler alone
    hour: ClipFile  # the long file, an hour by default


def recordings() -> list[Pcm]:
    """Decode the recordings of `tests/data/index.json`, in its order."""
    index = json.loads((_RECORDINGS / "index.json").read_text())
    return [_decoded(_RECORDINGS / f"{entry['name']}.flac") for entry in index]


def mixed_lengths_s(n_clips: int, shortest_s: float, longest_s: float) -> list[float]:
    """Return lengths spread evenly over [shortest_s, longest_s], in no order of length."""
    return [round(shortest_s + (longest_s - shortest_s) * ((i + 1) * _GOLDEN % 1.0), 2) for i in range(n_clips)]


def speech(spoken: Sequence[Pcm], duration_s: float, start: int) -> Pcm:
    """Join recordings from number `start` on, beginning anew after the last, and cut at `duration_s`."""
    wanted, n_samples = round(duration_s * RATE_HZ), 0
    parts: list[Pcm] = []
    while n_samples < wanted:
        parts.append(spoken[(start + len(parts)) % len(spoken)])
        n_samples += parts[-1].size
    return np.concatenate(parts)[:wanted]


def write_wav(path: Path, samples: Pcm, *, rate_hz: int = RATE_HZ) -> ClipFile:
    """Write a mono file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return ClipFile(path=str(path), duration_s=samples.size / rate_hz)


def read_wav(path: str) -> NDArray[np.float32]:
    """Read a file of `write_wav` within [-1.0, 1.0)."""
    with wave.open(path, "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) * np.float32(2**-15)


def write_clips(folder: Path, name: str, lengths_s: Sequence[float]) -> list[ClipFile]:
    """Write one clip of each length; every one begins with another recording than its neighbours."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = recordings()
    return [write_wav(folder / f"{name}-{i:04}.wav", speech(spoken, length_s, i)) for i, length_s in enumerate(lengths_s)]


def write_files(folder: Path, plan: Plan) -> Files:
    """Write all files of a run; those of an earlier one are written over."""
    spoken = recordings()
    long = speech(spoken, plan.long_clip_s, 0)
    return Files(
        mixed=write_clips(folder, "mixed", mixed_lengths_s(plan.n_clips, plan.shortest_s, plan.longest_s)),
        equal=write_clips(folder, "equal", [plan.equal_clip_s] * len(spoken)),
        short=write_wav(folder / "short.wav", speech(spoken, plan.short_clip_s, 0)),
        long=write_wav(folder / "long.wav", long),
        long_48k=write_wav(folder / "long-48k.wav", np.repeat(long, 3), rate_hz=3 * RATE_HZ),
        hour=write_wav(folder / "hour.wav", speech(spoken, plan.long_file_s, 0)),
    )


def _decoded(path: Path) -> Pcm:
    import av  # late: the arithmetic above needs no decoder

    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    if {(frame.sample_rate, frame.layout.nb_channels, frame.format.name) for frame in frames} != {(RATE_HZ, 1, "s16")}:
        raise ValueError(f"{path} is not mono, 16 bit, {RATE_HZ} Hz")
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.int16)

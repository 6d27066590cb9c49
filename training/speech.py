"""A store of synthesised speech: built once from texts, resumable, then read clip by clip without loading it.

A shard is two files. `shard_0000.i16` holds the samples of all its clips, one after the other: signed 16-bit little-endian, one
channel, 16 kHz. `shard_0000.jsonl` holds one line for each clip and is written last, so a shard that has one is complete.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .voices import SPEECH_RATE_HZ, Line, Reading, Voice, phone_set, synthesise_many

SHARD_CLIPS: Final = 2_000  # texts a shard; some 2 hours, 220 MB
RATE_RANGE: Final = (0.8, 1.3)  # times the voice's normal speed
PITCH_RANGE: Final = (0.8, 1.3)  # times the voice's normal height
LENGTH_RANGE_S: Final = (0.3, 20.0)  # a clip outside was misread, and is dropped
_BATCH_LINES: Final = 40  # given to one festival process, to spread the cost of its start
_PLAN_FILE: Final = "plan.sha256"  # what the folder was built from, so that no build goes on with another's shards


@dataclass(frozen=True)
class Clip:
    """A clip's line in a shard's .jsonl: `offset` and `n_samples` count samples in the .i16 file."""

    offset: int
    n_samples: int
    text: str
    voice: str
    rate: float
    pitch: float
    phone_set: str
    phones: tuple[tuple[str, float], ...]  # each with its end in seconds after the clip's first sample


@dataclass(frozen=True)
class _Order:
    """A text with the voice and manner drawn for it."""

    voice: Voice
    line: Line


def build(texts: Sequence[str], voices: Sequence[Voice], folder: Path, *, seed: int, workers: int = 2) -> None:
    """Have every text read by a voice drawn by weight, and write the shards; whatever `folder` already has complete is kept.

    The same arguments give the same draws, so a build that broke off goes on as if it never had. Texts are taken in the order
    given: shuffle them first, and each shard is a fair sample of all. Threads suffice, since the work is in the engines' processes.

    Args:
        voices: With weights that need not add up to 1.
        workers: Engines running at a time.

    Raises:
        ValueError: The folder was built from other texts, voices or seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_plan(folder, texts, voices, seed)
    orders = _draw(texts, voices, seed)
    dropped = 0
    with _progress() as progress, ThreadPoolExecutor(workers) as pool:
        task = progress.add_task("speech", total=len(orders), hours=0.0, dropped=0)
        for number, first in enumerate(range(0, len(orders), SHARD_CLIPS)):
            shard = orders[first : first + SHARD_CLIPS]
            listing = _listing(folder, number)
            if listing.exists():
                clips = _read_listing(listing)
                progress.advance(task, len(shard))
                _add_hours(progress, task, sum(clip.n_samples for clip in clips))
            else:
                clips = _write_shard(folder, number, shard, _speak(shard, pool, progress, task))
            dropped += len(shard) - len(clips)
            progress.update(task, dropped=dropped)
    Console(stderr=True).print(f"speech: {len(orders) - dropped:,} clips, {dropped:,} dropped")


class SpeechSet:
    """All clips of a folder's complete shards, in order; the samples stay on disk until asked for."""

    def __init__(self, folder: Path) -> None:
        """Read the listings; `folder` may hold no shard yet, and later ones are seen by a new `SpeechSet` only."""
        self._where: list[tuple[int, int]] = []
        self._shards: list[NDArray[np.int16]] = []
        self.texts: list[str] = []
        self.voices: list[str] = []
        self.phones: list[tuple[tuple[str, str], ...]] = []  # of each clip: phone set and symbol
        self.phone_ends_s: list[NDArray[np.float32]] = []  # shape (n_phones,), ascending
        n_samples: list[int] = []
        for listing in sorted(folder.glob("shard_*.jsonl")):
            clips = _read_listing(listing)
            if not clips:
                continue  # an empty file cannot be mapped
            for clip in clips:
                self._where.append((len(self._shards), clip.offset))
                self.texts.append(clip.text)
                self.voices.append(clip.voice)
                self.phones.append(tuple((clip.phone_set, symbol) for symbol, _ in clip.phones))
                self.phone_ends_s.append(np.array([end_s for _, end_s in clip.phones], np.float32))
                n_samples.append(clip.n_samples)
            self._shards.append(np.memmap(listing.with_suffix(".i16"), "<i2", "r"))
        self.n_samples: NDArray[np.int64] = np.array(n_samples, np.int64)

    def __len__(self) -> int:
        return len(self.texts)

    def clip(self, i: int) -> NDArray[np.float32]:
        """Return clip `i`: float32, shape (n_samples[i],), 16 kHz, within [-1.0, 1.0); a new array."""
        shard, offset = self._where[i]
        return self._shards[shard][offset : offset + int(self.n_samples[i])].astype(np.float32) * np.float32(2**-15)


def load(folder: Path) -> SpeechSet:
    """Open what `build` has written so far."""
    return SpeechSet(folder)


def _draw(texts: Sequence[str], voices: Sequence[Voice], seed: int) -> list[_Order]:
    rng = np.random.default_rng(seed)
    weights = np.array([voice.weight for voice in voices], np.float64)
    chosen = rng.choice(len(voices), size=len(texts), p=weights / weights.sum())
    rates = rng.uniform(*RATE_RANGE, size=len(texts))
    pitches = rng.uniform(*PITCH_RANGE, size=len(texts))
    return [
        _Order(voices[int(v)], Line(text, round(float(rate), 3), round(float(pitch), 3)))
        for text, v, rate, pitch in zip(texts, chosen, rates, pitches, strict=True)
    ]


def _speak(shard: Sequence[_Order], pool: ThreadPoolExecutor, progress: Progress, task: TaskID) -> list[Reading | None]:
    """Synthesise a shard, batched by voice and slowest engine first; None for each that is to be dropped."""
    by_voice: defaultdict[Voice, list[int]] = defaultdict(list)
    for i, order in enumerate(shard):
        by_voice[order.voice].append(i)
    batches = [
        (voice, of_voice[at : at + _BATCH_LINES])
        for voice, of_voice in sorted(by_voice.items(), key=lambda item: item[0].engine != "festival")
        for at in range(0, len(of_voice), _BATCH_LINES)
    ]
    running = {pool.submit(synthesise_many, voice, [shard[i].line for i in batch]): batch for voice, batch in batches}
    spoken: list[Reading | None] = [None] * len(shard)
    try:
        for done in as_completed(running):
            batch = running[done]
            for i, reading in zip(batch, done.result(), strict=True):
                if reading is not None and LENGTH_RANGE_S[0] <= reading.samples.size / SPEECH_RATE_HZ <= LENGTH_RANGE_S[1]:
                    spoken[i] = reading
            progress.advance(task, len(batch))
            _add_hours(progress, task, sum(0 if (kept := spoken[i]) is None else kept.samples.size for i in batch))
    finally:
        for future in running:
            future.cancel()  # after an error or Ctrl-C the pool would otherwise finish the shard first
    return spoken


def _write_shard(folder: Path, number: int, shard: Sequence[_Order], spoken: Sequence[Reading | None]) -> list[Clip]:
    listing = _listing(folder, number)
    clips: list[Clip] = []
    kept: list[NDArray[np.int16]] = []
    offset = 0
    for order, reading in zip(shard, spoken, strict=True):
        if reading is not None:
            line, samples = order.line, reading.samples
            phones = tuple((phone.symbol, phone.end_s) for phone in reading.phones)
            voice = order.voice
            clips.append(Clip(offset, samples.size, line.text, str(voice), line.rate, line.pitch, phone_set(voice), phones))
            kept.append(samples)
            offset += samples.size
    _write(listing.with_suffix(".i16"), b"".join(samples.astype("<i2").tobytes() for samples in kept))
    _write(listing, "".join(json.dumps(asdict(clip)) + "\n" for clip in clips).encode())
    return clips


def _write(path: Path, data: bytes) -> None:
    """All or nothing: a reader never sees half a file, even after a power cut."""
    made = path.with_name(path.name + ".tmp")
    with made.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)


def _listing(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:04d}.jsonl"


def _read_listing(listing: Path) -> list[Clip]:
    return [Clip(**json.loads(line)) for line in listing.read_text(encoding="utf-8").splitlines()]


def _check_plan(folder: Path, texts: Sequence[str], voices: Sequence[Voice], seed: int) -> None:
    plan = json.dumps([seed, SHARD_CLIPS, RATE_RANGE, PITCH_RANGE, [asdict(voice) for voice in voices], list(texts)])
    digest = hashlib.sha256(plan.encode()).hexdigest()
    noted = folder / _PLAN_FILE
    if not noted.exists():
        _write(noted, digest.encode())
    elif noted.read_text() != digest:
        raise ValueError(f"{folder} was built from other texts, voices or seed; give another folder or remove it")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[hours]:.2f} h of speech, {task.fields[dropped]} dropped"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip


def _add_hours(progress: Progress, task: TaskID, n_samples: int) -> None:
    hours = progress.tasks[0].fields["hours"] + n_samples / SPEECH_RATE_HZ / 3600
    progress.update(task, hours=hours)

"""`python -m bench.seams`: does the bundled model make more errors near the seams of a long file than elsewhere?

An hour of known sentences, joined by pauses, by crossfades and by no gap at all, goes through the service's own path: voice
detection, windows, recogniser, joining. Words are aligned with what was said; the error rate of words within 2 s of a seam is set
against that of all others, with the 95 % confidence interval of the difference (bootstrap over sentences, as errors of one sentence
belong together). Times of words are set against those of the same words in their own short files.
"""

import argparse
import math
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final

import jiwer
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from app.adapters.nemo.recognizer import NemoRecognizer
from app.adapters.silero.detector import SileroVoiceDetector
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.batching import BatchRules
from app.domain.cancel import CancelToken
from app.domain.engine import Engine
from app.domain.ports import Block, DecodeLimits, Resampler
from app.domain.transcriber import FileOptions, Transcriber, TranscriberRules
from app.domain.transcript import Transcript, Word, join
from app.domain.windows import WindowCutter
from tests.recordings import recordings

NEAR_S: Final = 2.0  # of a seam
CLOSE_MS: Final = 80.0  # one frame of the encoder: what a word's time may be off
JOINTS: Final = ("pauses", "crossfades", "no gap")
_PAUSES_S: Final = (0.3, 2.0)
_FADE_S: Final = 0.05
_SILENT: Final = 0.01  # of full scale: what is quieter at a recording's ends is trimmed, or "no gap" would be a pause
_RESAMPLINGS: Final = 5_000
_OUT: Final = Path(__file__).parent / "work" / "seams.json"


class Sentence(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A known sentence, and when the model hears each of its words in its own short file; NaN where it hears another."""

    words: list[str]
    samples: Samples
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]

    @property
    def middles_s(self) -> NDArray[np.float64]:
        """About where each word is, heard or not."""
        evenly = (np.arange(len(self.words)) + 0.5) / len(self.words) * self.samples.size / MODEL_RATE_HZ
        return np.where(np.isnan(self.starts_s), evenly, (self.starts_s + self.ends_s) / 2)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one long file showed. Rates are errors per word that was said; the difference is near minus elsewhere."""

    joint: str
    audio_s: float
    wall_s: float
    seams: int
    overlaps: int  # of the seams: where nobody paused
    words: int
    error_rate: float
    words_near: int
    error_rate_near: float
    error_rate_elsewhere: float
    difference: float
    difference_low: float  # 95 % confidence interval
    difference_high: float
    words_timed: int
    starts_close: float  # share of words within `CLOSE_MS` of their times in their short files
    ends_close: float
    worst_ms: float
    drift_ms: float  # median of how far starts are off in the file's last tenth, minus that in its first tenth
    longest_word_s: float


class _Given:
    """Hands out samples as a decoded file."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:  # noqa: ARG002  # the port's
        for start in range(0, self._samples.size, MODEL_RATE_HZ):
            yield Block(self._samples[start : start + MODEL_RATE_HZ])

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        raise NotImplementedError


class Bench:
    """The real model and the real voice detector behind the service's own use case."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._detector = SileroVoiceDetector()
        self._rules = TranscriberRules(limits=DecodeLimits(max_duration_s=1e6, max_source_samples=1 << 60))
        self._engine = Engine(lambda: NemoRecognizer("bundled"), now_s=time.monotonic, max_waiting_s=1e6, rules=BatchRules())
        self._engine.start()
        facts = self._engine.loaded.result().facts
        self._longest_s = min(self._rules.window_s, facts.longest_clip_s)

    def close(self) -> None:
        """End the engine's threads."""
        self._engine.close()

    def transcript(self, samples: Samples, told: str = "") -> Transcript:
        """Transcribe as a file; with `told`, show how far it is."""
        task = self._progress.add_task(told, total=samples.size / MODEL_RATE_HZ, visible=bool(told))
        transcriber = Transcriber(normalizer=_Given(samples), detector=self._detector, engine=self._engine, rules=self._rules)
        parts = []
        for part in transcriber.transcribe(BytesIO(), FileOptions(), cancel=CancelToken()):
            parts.append(part.transcript)
            self._progress.update(task, completed=part.heard_s)
        return join(parts)

    def sentences(self) -> list[Sentence]:
        """Every recording, trimmed, with the times at which its words are heard in the untrimmed file."""
        found = []
        for recording in self._progress.track(recordings(), description="short files"):
            words = bare(recording.text).split()
            heard = [word for word in self.transcript(recording.samples).words if bare(word.text)]
            times_s = np.full((2, len(words)), np.nan)
            for i, j in pairs(words, heard):
                times_s[:, i] = heard[j].start_s, heard[j].end_s
            loud = np.flatnonzero(np.abs(recording.samples) > _SILENT)
            samples, times_s = recording.samples[loud[0] : loud[-1] + 1], times_s - loud[0] / MODEL_RATE_HZ
            found.append(Sentence(words=words, samples=samples, starts_s=times_s[0], ends_s=times_s[1]))
        return found

    def seams_s(self, samples: Samples) -> tuple[NDArray[np.float64], int]:
        """Return where the windows of a file meet, in order, and how many of these are overlaps."""
        cutter = WindowCutter(self._detector, rules=self._rules.spans, longest_s=self._longest_s)
        extents = [(window.start_s, window.end_s) for window in (*cutter.push(samples), *cutter.finish())]
        meetings = [(before[1], after[0]) for before, after in pairwise(extents)]
        return np.array([sum(meeting) / 2 for meeting in meetings]), sum(end > start for end, start in meetings)

    def result(self, joint: str, sentences: Sequence[Sentence], minutes: float) -> Result:
        """Make the long file, transcribe and score it."""
        samples, said, offsets_s = long_file(joint, sentences, minutes)
        seams_s, overlaps = self.seams_s(samples)
        began_s = time.monotonic()
        heard = [word for word in self.transcript(samples, joint).words if bare(word.text)]
        wall_s = time.monotonic() - began_s
        middles_s = np.concatenate([offset_s + one.middles_s for one, offset_s in zip(said, offsets_s, strict=True)])
        near = np.abs(middles_s[:, None] - seams_s).min(axis=1, initial=np.inf) <= NEAR_S
        errors = errors_of([word for one in said for word in one.words], heard)
        owner = np.repeat(np.arange(len(said)), [len(one.words) for one in said])
        low, high = interval(errors, near, owner)
        rate_near, rate_elsewhere = errors[near].mean() if near.any() else 0.0, errors[~near].mean() if (~near).any() else 0.0
        return Result(
            joint=joint, audio_s=samples.size / MODEL_RATE_HZ, wall_s=wall_s, seams=seams_s.size, overlaps=overlaps,
            words=errors.size, error_rate=float(errors.mean()), words_near=int(near.sum()), error_rate_near=float(rate_near),
            error_rate_elsewhere=float(rate_elsewhere), difference=float(rate_near - rate_elsewhere), difference_low=low,
            difference_high=high, longest_word_s=max((word.end_s - word.start_s for word in heard), default=0.0),
            **times(said, offsets_s, heard),
        )  # fmt: skip


def bare(text: str) -> str:
    """Lower-case words without punctuation."""
    return re.sub(r"[^a-z0-9' ]+", "", text.lower())


def long_file(joint: str, sentences: Sequence[Sentence], minutes: float) -> tuple[Samples, list[Sentence], NDArray[np.float64]]:
    """Join sentences in random order, none twice in a row: the samples, what was said, where each begins in seconds."""
    chance, said, offsets = random.Random(joint), list[Sentence](), list[int]()
    samples, end, fade = np.zeros(round((minutes * 60 + 30) * MODEL_RATE_HZ), np.float32), 0, round(_FADE_S * MODEL_RATE_HZ)
    while end < minutes * 60 * MODEL_RATE_HZ:
        one = chance.choice([other for other in sentences if not said or other is not said[-1]])
        piece = one.samples.copy()
        if joint == "pauses" and said:
            end += round(chance.uniform(*_PAUSES_S) * MODEL_RATE_HZ)
        if joint == "crossfades" and said:
            end -= fade
            samples[end : end + fade] *= np.linspace(1, 0, fade, dtype=np.float32)
            piece[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        samples[end : end + piece.size] += piece
        said.append(one)
        offsets.append(end)
        end += piece.size
    return samples[:end], said, np.array(offsets) / MODEL_RATE_HZ


def _chunks(said: Sequence[str], heard: Sequence[Word]) -> list[Any]:
    return list(jiwer.process_words(" ".join(said), " ".join(bare(word.text) for word in heard)).alignments[0])


def pairs(said: Sequence[str], heard: Sequence[Word]) -> list[tuple[int, int]]:
    """Index pairs of the words that were heard as they were said."""
    if not heard:
        return []
    return [
        (chunk.ref_start_idx + i, chunk.hyp_start_idx + i)
        for chunk in _chunks(said, heard)
        if chunk.type == "equal"
        for i in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


def errors_of(said: Sequence[str], heard: Sequence[Word]) -> NDArray[np.int64]:
    """Count the errors at each word that was said; what was heard in addition counts at the word before it."""
    errors = np.zeros(len(said), np.int64)
    if not heard:
        return errors + 1
    for chunk in _chunks(said, heard):
        if chunk.type == "insert":
            errors[max(0, chunk.ref_start_idx - 1)] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            errors[chunk.ref_start_idx : chunk.ref_end_idx] += 1
    return errors


def interval(errors: NDArray[np.int64], near: NDArray[np.bool_], owner: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of both rates: percentiles over resampled sentences, seeded."""
    counts = np.stack([np.bincount(owner, weights) for weights in (errors * near, near, errors * ~near, ~near)])
    n_sentences = counts.shape[1]
    drawn = np.random.default_rng(0).multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), _RESAMPLINGS)
    near_errors, near_words, other_errors, other_words = counts @ drawn.T
    usable = (near_words > 0) & (other_words > 0)
    if not usable.any():
        return 0.0, 0.0
    differences = near_errors[usable] / near_words[usable] - other_errors[usable] / other_words[usable]
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def times(said: Sequence[Sentence], offsets_s: NDArray[np.float64], heard: Sequence[Word]) -> dict[str, Any]:
    """Compare the times of words that both the long file and their short file heard right."""
    starts_s = np.concatenate([offset_s + one.starts_s for one, offset_s in zip(said, offsets_s, strict=True)])
    ends_s = np.concatenate([offset_s + one.ends_s for one, offset_s in zip(said, offsets_s, strict=True)])
    both = [(i, j) for i, j in pairs([word for one in said for word in one.words], heard) if not np.isnan(starts_s[i])]
    expected_s = np.array([(starts_s[i], ends_s[i]) for i, _ in both]).reshape(-1, 2)
    off_ms = 1000 * (np.array([(heard[j].start_s, heard[j].end_s) for _, j in both]).reshape(-1, 2) - expected_s)
    close = (np.abs(off_ms) <= CLOSE_MS + 0.5).mean(axis=0) if both else np.zeros(2)
    tenth = math.ceil(len(both) / 10)
    drift_ms = float(np.median(off_ms[-tenth:, 0]) - np.median(off_ms[:tenth, 0])) if both else 0.0
    return {
        "words_timed": len(both), "starts_close": float(close[0]), "ends_close": float(close[1]),
        "worst_ms": float(np.abs(off_ms).max(initial=0.0)), "drift_ms": drift_ms,
    }  # fmt: skip


def table_of(results: Sequence[Result]) -> Table:
    """Lay the results out for people."""
    table = Table(title=f"Errors within {NEAR_S:.0f} s of a seam, and times against short files ({CLOSE_MS:.0f} ms)")
    for heading in (
        "joined by", "minutes", "x real time", "seams (overlaps)", "words near / all", "errors near", "elsewhere",
        "difference, 95 % interval", "starts close", "ends close", "worst", "drift", "longest word",
    ):  # fmt: skip
        table.add_column(heading)
    for one in results:
        table.add_row(
            one.joint, f"{one.audio_s / 60:.1f}", f"{one.audio_s / one.wall_s:.0f}", f"{one.seams} ({one.overlaps})",
            f"{one.words_near} / {one.words}", f"{one.error_rate_near:.1%}", f"{one.error_rate_elsewhere:.1%}",
            f"{one.difference:+.1%}, {one.difference_low:+.1%} to {one.difference_high:+.1%}", f"{one.starts_close:.1%}",
            f"{one.ends_close:.1%}", f"{one.worst_ms:.0f} ms", f"{one.drift_ms:+.1f} ms", f"{one.longest_word_s:.2f} s",
        )  # fmt: skip
    return table


def main() -> int:
    """Measure, print a table and write JSON; 0 always: the figures are for people to judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.seams", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="length of each file (default 60)")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the JSON goes (default bench/work/seams.json)")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 250)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bench = Bench(progress)
        try:
            sentences = bench.sentences()
            results = [bench.result(joint, sentences, given.minutes) for joint in JOINTS]
        finally:
            bench.close()
    console.print(table_of(results))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    console.print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

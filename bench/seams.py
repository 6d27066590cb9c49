"""`python -m bench.seams`: does the bundled model make more errors near the seams of a long file than elsewhere?

An hour of known sentences, joined by pauses, by crossfades and by no gap at all, goes through the service's own path: voice
detection, windows, recogniser, joining. Words are aligned with what was said; the error rate of words within 2 s of a seam is set
against that of all others, with the 95 % confidence interval of the difference (bootstrap over sentences, as errors of one sentence
belong together). Times of words are set against those of the same words in their own short files.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.transcript import Word
from app.domain.windows import WindowCutter
from tests.recordings import recordings

from .in_process import InProcess
from .sentences import JOINTS, Sentence, bare, errors_of, extent, long_file, pairs, resampled_counts

NEAR_S: Final = 2.0  # of a seam
CLOSE_MS: Final = 80.0  # one frame of the encoder: what a word's time may be off
_OUT: Final = Path(__file__).parent / "work" / "seams.json"


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


class Bench(InProcess):
    """What is measured, on the service's own path."""

    def sentences(self) -> list[Sentence]:
        """Every recording, trimmed, with the times at which its words are heard in the untrimmed file."""
        found = []
        for recording in self.progress.track(recordings(), description="short files"):
            words = bare(recording.text).split()
            heard = [word for word in self.transcript(recording.samples).words if bare(word.text)]
            times_s = np.full((2, len(words)), np.nan)
            for i, j in pairs(words, heard):
                times_s[:, i] = heard[j].start_s, heard[j].end_s
            start, end = extent(recording.samples)
            times_s -= start / MODEL_RATE_HZ
            found.append(Sentence(words=words, samples=recording.samples[start:end], starts_s=times_s[0], ends_s=times_s[1]))
        return found

    def seams_s(self, samples: Samples) -> tuple[NDArray[np.float64], int]:
        """Return where the windows of a file meet, in order, and how many of these are overlaps."""
        longest_s = min(self.rules.window_s, self.facts.longest_clip_s)
        cutter = WindowCutter(self.detector, rules=self.rules.spans, longest_s=longest_s)
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


def interval(errors: NDArray[np.int64], near: NDArray[np.bool_], owner: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of both rates: percentiles over resampled sentences, seeded."""
    counts = np.stack([np.bincount(owner, weights) for weights in (errors * near, near, errors * ~near, ~near)])
    near_errors, near_words, other_errors, other_words = counts @ resampled_counts(owner).T
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

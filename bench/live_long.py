"""`python -m bench.live_long`: over a long session, do live finals say what the same sound says as a file?

Known sentences with pauses between go through a live session, in this process and faster than they would be spoken, and through
the service's path for files; both are set against what was said. With `--socket` the same over HTTP and `/ws`, at the pace of
speech. Then an hour of the ruler's words, with pauses and without: there every word and every sample must be the same.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.live import LiveSession
from app.domain.live_rules import LiveRules, Sound
from app.domain.transcript import Word
from app.domain.voice_activity import SpanRules

from .child import BenchError, Child
from .clips import ClipFile, write_wav
from .flags import WORK, console, guarded
from .in_process import InProcess
from .live_client import CLOSED_WELL, LiveJob, Spoke
from .live_drive import by_engine, finals_of
from .live_ruler import PACES, RulerResult, ruler_result
from .report import Table, put
from .sentences import Sentence, bare, errors_of, long_file, resampled_counts, untimed_sentences
from .service import Service, running_service

MOST_WORSE: Final = 0.01  # of words: what live may have more errors than the file
_SILENCES_MS: Final = (500, 200)  # the defaults of `/ws` and of `/v1/realtime`
_CHUNK_BYTES: Final = 640  # 20 ms
_LATENCY_S: Final = 0.1  # of an answer in the session that is driven here
_TOLERANCE: Final = 1e-9


class LongResult(msgspec.Struct, frozen=True, kw_only=True):
    """One way for the sound to be heard. Rates are errors per word that was said; the difference is live minus file."""

    way: str
    utterances: int
    words: int
    errors: int
    error_rate: float
    difference: float | None = None  # None: this is the file
    difference_low: float | None = None  # 95 % confidence interval
    difference_high: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether live is about as good as the file."""
        return None if self.difference is None else self.difference <= MOST_WORSE + _TOLERANCE


class LongResults(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    audio_s: float
    heard: list[LongResult]
    ruler: list[RulerResult]

    @property
    def met(self) -> bool:
        return all(one.met is not False for one in self.heard) and all(one.equal for one in self.ruler)


class Said:
    """What was said, to compare what was heard with."""

    def __init__(self, said: Sequence[Sentence]) -> None:
        self._words = [word for one in said for word in one.words]
        self._owner = np.repeat(np.arange(len(said)), [len(one.words) for one in said])

    def result(self, way: str, heard: Sequence[Word], *, utterances: int, file: Sequence[Word] | None = None) -> LongResult:
        """Count the errors; against `file`, what the path for files heard, if this is live."""
        errors = self._errors(heard)
        found = LongResult(
            way=way, utterances=utterances, words=errors.size, errors=int(errors.sum()), error_rate=float(errors.mean())
        )
        if file is None:
            return found
        more = errors - self._errors(file)
        counts = np.stack([np.bincount(self._owner, more), np.bincount(self._owner)])
        drawn_more, drawn_words = counts @ resampled_counts(self._owner).T
        low, high = np.percentile(drawn_more / drawn_words, [2.5, 97.5])
        return msgspec.structs.replace(found, difference=float(more.mean()), difference_low=float(low), difference_high=float(high))

    def _errors(self, heard: Sequence[Word]) -> NDArray[np.int64]:
        return errors_of(self._words, [word for word in heard if bare(word.text).strip()])


def in_process(samples: Samples, said: Said, progress: Progress) -> Iterator[LongResult]:
    """Hear the sound as a file, then live by each silence limit, with partials and without."""
    bench = InProcess(progress)
    try:
        file = bench.transcript(samples, "file").words
        yield said.result("file", file, utterances=1)
        data = pcm16(samples)
        for silence_ms in _SILENCES_MS:
            for partials in (False, True):
                way = f"live, silence {silence_ms} ms{', partials' if partials else ''}"
                sound = Sound(encoding="pcm_s16le", resampler=TorchaudioNormalizer().open_resampler(source_rate_hz=MODEL_RATE_HZ))
                rules = rules_for(silence_ms, partials=partials)
                session = LiveSession(bench.detector, sound, rules, longest_clip_s=bench.facts.longest_clip_s)
                pieces = progress.track(range(0, len(data), _CHUNK_BYTES), description=way)
                finals = finals_of(
                    session, (data[at : at + _CHUNK_BYTES] for at in pieces), by_engine(bench.engine), latency_s=_LATENCY_S
                )
                words = [word for final in finals for word in final.transcript.words]
                yield said.result(way, words, utterances=len(finals), file=file)
    finally:
        bench.close()


def rules_for(silence_ms: int, *, partials: bool) -> LiveRules:
    """Return the session's usual rules with another silence limit."""
    spans = LiveRules().spans or SpanRules()
    return LiveRules(spans=msgspec.structs.replace(spans, least_silence_s=silence_ms / 1000), partials=partials)


def pcm16(samples: Samples) -> bytes:
    """Return what a client sends of samples that came from 16 bits."""
    return np.rint(samples * 2**15).astype("<i2").tobytes()


def over_socket(samples: Samples, said: Said, progress: Progress, out: Path) -> Iterator[LongResult]:
    """Hear the sound over HTTP as a file and over `/ws` live, from the running service."""
    sound = write_wav(out / "long.wav", np.frombuffer(pcm16(samples), "<i2"))
    with ExitStack() as stack:
        service = stack.enter_context(running_service({"STT_MODEL": "bundled"}, log_path=out / "service.log"))
        client = stack.enter_context(Child("bench.live_client", log_path=out / "client.log"))
        client.result(Spoke)
        file = _posted(service, sound)
        yield said.result("file, over HTTP", file, utterances=1)
        for silence_ms in _SILENCES_MS:
            way = f"live, over /ws, silence {silence_ms} ms, partials"
            task = progress.add_task(f"{way} (at the pace of speech)", total=None)
            url = f"{service.url.replace('http', 'ws', 1)}/ws?partials=1&words=1&silence_ms={silence_ms}"
            log = client.ask(LiveJob(url=url, files=[sound.path]), Spoke).logs[0]
            progress.update(task, total=1, completed=1)
            if log.closed != CLOSED_WELL or log.failure:
                raise BenchError(f"the session ended with {log.closed} {log.failure}")
            finals = [heard.message for heard in log.heard if heard.message.final]
            yield said.result(way, _words([final.text for final in finals]), utterances=len(finals), file=file)


def _posted(service: Service, sound: ClipFile) -> list[Word]:
    with Path(sound.path).open("rb") as file:
        got = httpx.post(
            f"{service.url}/v1/audio/transcriptions", files={"file": file}, data={"model": "whisper-1"}, timeout=sound.duration_s
        )
    if got.status_code != httpx.codes.OK:
        raise BenchError(f"the file was answered with {got.status_code}: {got.text}")
    return _words([got.json()["text"]])


def _words(texts: Sequence[str]) -> list[Word]:
    """Return words without times: errors are counted by what was said alone."""
    return [Word(text=word, start_s=0.0, end_s=0.0, logprob=0.0) for text in texts for word in text.split()]


def tables_of(results: LongResults) -> list[Table]:
    """Lay a run out for people."""
    heard = [
        [one.way, str(one.utterances), str(one.words), str(one.errors), f"{one.error_rate:.2%}", *_against_file(one)]
        for one in results.heard
    ]
    ruler = [
        [
            f"{one.pace}{', partials' if one.partials else ''}", f"{one.audio_s / 60:.1f}", f"{one.audio_s / one.wall_s:.0f}",
            str(one.utterances), str(one.written), str(one.told), "yes" if one.equal else "no", one.first_difference,
        ]
        for one in results.ruler
    ]  # fmt: skip
    minutes = f"{results.audio_s / 60:.1f} minutes of known sentences with pauses"
    heads = ["heard", "utterances", "words", "errors", "WER", "live - file", "95 % interval", f"within {MOST_WORSE:.0%}"]
    ruler_heads = ["ruler", "minutes", "x real time", "utterances", "written", "told", "equal", "first difference"]
    return [
        Table(title=minutes, head=heads, rows=heard),
        Table(title="The ruler's words, word and sample", head=ruler_heads, rows=ruler),
    ]


def _against_file(one: LongResult) -> list[str]:
    if one.difference is None:
        return ["", "", ""]
    return [f"{one.difference:+.2%}", f"{one.difference_low:+.2%} to {one.difference_high:+.2%}", "yes" if one.met else "no"]


def _run(given: argparse.Namespace, screen: Console) -> int:
    out: Path = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    samples, sentences, _ = long_file("pauses", untimed_sentences(), given.minutes)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen) as progress:
        said = Said(sentences)
        heard = list(in_process(samples, said, progress))
        if given.socket:
            heard += over_socket(samples, said, progress, out)
        task = progress.add_task("ruler", total=2 * len(PACES))
        ruler = []
        for pace in PACES:
            for partials in (False, True):
                ruler.append(ruler_result(pace, partials=partials, minutes=given.ruler_minutes))
                progress.advance(task)
    results = LongResults(audio_s=samples.size / MODEL_RATE_HZ, heard=heard, ruler=ruler)
    put(tables_of(results), screen)
    (out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    screen.print(f"results.json in {out}")
    return 0 if results.met else 1


def main() -> int:
    """Compare, print tables and write JSON; 1 if live is worse than allowed, or if a word of the ruler is told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_long", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="Length of the sound (default 10).")
    parser.add_argument("--ruler-minutes", type=float, default=60.0, help="Length of the ruler's sound (default 60).")
    parser.add_argument("--socket", action="store_true", help="Also over HTTP and `/ws`, at the pace of speech.")
    parser.add_argument("--out", type=Path, default=WORK / "live-long", help="Folder for results.json and the logs.")
    given = parser.parse_args()
    return guarded("bench.live_long", lambda: _run(given, console()))


if __name__ == "__main__":
    sys.exit(main())

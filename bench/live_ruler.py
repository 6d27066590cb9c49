"""An hour of the ruler's words through a live session: are they told as they were written, to the word and the sample?"""

import random
import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

import msgspec

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.batching import BatchRules
from app.domain.engine import Engine
from app.domain.live import LiveSession
from app.domain.live_rules import LiveRules, Sound
from app.testing.fakes import FakeVoiceDetector
from app.testing.ruler import HIGHEST_NUMBER, RulerRecognizer, RulerWord, encode_words

from .live_drive import by_engine, finals_of

PACES: Final = ("pauses", "no pause")
_WORD_S: Final = (0.08, 0.6)
_SHORT_PAUSE_S: Final = (0.01, 0.3)  # between words
_LONG_PAUSE_S: Final = (0.3, 3.0)  # between sentences
_SENTENCE_WORDS: Final = 12.0  # on the average
_LATENCY_S: Final = 0.1  # of an answer
_LONGEST_PIECE: Final = 65_536  # bytes; pieces are of any length up to it, short ones as likely as long ones

Told = tuple[str, int, int]  # a word, its first sample, the one after its last


class RulerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One hour."""

    pace: str
    partials: bool
    audio_s: float
    wall_s: float
    utterances: int
    written: int  # words
    told: int
    equal: bool
    first_difference: str = ""


def ruler_result(pace: str, *, partials: bool, minutes: float) -> RulerResult:
    """Write words into samples, have a live session hear them in pieces of any length, and compare what it tells."""
    words = words_for(pace, minutes)
    samples = encode_words(words, words[-1].end_sample / MODEL_RATE_HZ + 2.0).samples
    engine = Engine(RulerRecognizer, now_s=time.monotonic, max_waiting_s=1e6, rules=BatchRules())
    engine.start()
    began_s = time.monotonic()
    try:
        sound = Sound(encoding="pcm_f32le", resampler=TorchaudioNormalizer().open_resampler(source_rate_hz=MODEL_RATE_HZ))
        longest_clip_s = engine.loaded.result().facts.longest_clip_s
        session = LiveSession(FakeVoiceDetector(), sound, LiveRules(partials=partials), longest_clip_s=longest_clip_s)
        finals = finals_of(session, pieces_of(samples, seed=pace), by_engine(engine), latency_s=_LATENCY_S)
    finally:
        engine.close()
    written: list[Told] = [(word.text, word.start_sample, word.end_sample) for word in words]
    told = [
        (word.text, round(word.start_s * MODEL_RATE_HZ), round(word.end_s * MODEL_RATE_HZ))
        for final in finals
        for word in final.transcript.words
    ]
    return RulerResult(
        pace=pace, partials=partials, audio_s=samples.size / MODEL_RATE_HZ, wall_s=time.monotonic() - began_s,
        utterances=len(finals), written=len(written), told=len(told), equal=told == written,
        first_difference=first_difference(written, told),
    )  # fmt: skip


def words_for(pace: str, minutes: float) -> list[RulerWord]:
    """Make up words of random lengths, with short and long pauses between or with none at all."""
    chance, words, at = random.Random(pace), list[RulerWord](), 0
    while at < minutes * 60 * MODEL_RATE_HZ:
        ends = chance.random() < 1 / _SENTENCE_WORDS
        n_samples = round(chance.uniform(*_WORD_S) * MODEL_RATE_HZ)
        number = len(words) % (HIGHEST_NUMBER + 1)
        words.append(RulerWord(number=number, start_sample=at, n_samples=n_samples, ends_sentence=ends))
        at = words[-1].end_sample
        if pace == "pauses":
            at += round(chance.uniform(*(_LONG_PAUSE_S if ends else _SHORT_PAUSE_S)) * MODEL_RATE_HZ)
    return words


def pieces_of(samples: Samples, *, seed: str) -> Iterator[bytes]:
    """Cut samples into messages without regard to where a sample begins."""
    chance, data, at = random.Random(seed), samples.tobytes(), 0
    while at < len(data):
        n_bytes = round(_LONGEST_PIECE ** chance.random())
        yield data[at : at + n_bytes]
        at += n_bytes


def first_difference(written: list[Told], told: list[Told]) -> str:
    """Say where two lists of words part; empty where they do not."""
    for i, (one, other) in enumerate(zip_longest(written, told)):
        if one != other:
            return f"word {i}: written {one}, told {other}"
    return ""

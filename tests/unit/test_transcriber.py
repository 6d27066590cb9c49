"""A file in, its transcript out: exact with the ruler, and honest about everything that goes wrong."""

import random
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from time import monotonic
from typing import BinaryIO, Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.audio import FRAME_S, MODEL_RATE_HZ, SHORTEST_CLIP_S, Clip, Samples, silence
from app.domain.batching import BatchRules
from app.domain.cancel import CancelToken
from app.domain.engine import Engine
from app.domain.errors import (
    AudioRejectedError,
    AudioTooLongError,
    AudioTooShortError,
    CancelledError,
    ModelNotReadyError,
    OverloadedError,
    RecognitionError,
)
from app.domain.ports import AudioNormalizer, Block, DecodeLimits, Options, Recognizer, Resampler
from app.domain.transcriber import SILENCE_PEAK, Chunking, FileOptions, Part, Transcriber, TranscriberRules
from app.domain.transcript import Transcript, join
from app.domain.voice_activity import SpanRules
from app.domain.windows import OVERLAP_S
from app.testing.contracts_audio import wav_bytes
from app.testing.fakes import FakeNormalizer, FakeVoiceDetector
from app.testing.recognizers import FAKE_FACTS, FakeRecognizer, GatedRecognizer
from app.testing.ruler import RULER_FACTS, RulerRecognizer, RulerWord, encode_words

PATIENCE_S: Final = 30.0
OPTIONS: Final = FileOptions()
LIMITS: Final = DecodeLimits(max_duration_s=14_400.0)
RULES: Final = TranscriberRules(limits=LIMITS)
NO_FILE: Final = BytesIO()


class GivenNormalizer:
    """Decodes every file to the same samples, in blocks of `block_samples`, bit by bit as they are."""

    def __init__(
        self, samples: Samples, *, block_samples: int = 7_777, truncated: bool = False, then: Exception | None = None
    ) -> None:
        self._samples, self._block_samples, self._truncated, self._then = samples, block_samples, truncated, then
        self.n_blocks = 0  # how many were asked for

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        starts = range(0, self._samples.size, self._block_samples)
        for start in starts:
            self.n_blocks += 1
            last = start == starts[-1]
            yield Block(self._samples[start : start + self._block_samples], truncated=self._truncated and last)
        if self._then is not None:
            raise self._then

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        return FakeNormalizer().open_resampler(source_rate_hz=source_rate_hz)


class Watched(GivenNormalizer):
    """Tells when it has been asked for what comes after `reaches_s`."""

    def __init__(self, samples: Samples, *, reaches_s: float) -> None:
        super().__init__(samples, block_samples=MODEL_RATE_HZ)
        self._reaches_s = reaches_s
        self.reached = threading.Event()

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        for block in super().blocks(file, limits=limits):
            if self.n_blocks > self._reaches_s:
                self.reached.set()
            yield block


@contextmanager
def running(recognizer: Recognizer, *, max_waiting_s: float = 100_000.0) -> Iterator[Engine]:
    engine = Engine(lambda: recognizer, now_s=monotonic, max_waiting_s=max_waiting_s, rules=BatchRules(linger_s=0.0))
    engine.start()
    engine.loaded.result(PATIENCE_S)
    try:
        yield engine
    finally:
        if isinstance(recognizer, GatedRecognizer):
            recognizer.let_go.set()
        engine.close()


def transcriber_on(engine: Engine, normalizer: AudioNormalizer, *, rules: TranscriberRules = RULES) -> Transcriber:
    return Transcriber(normalizer=normalizer, detector=FakeVoiceDetector(), engine=engine, rules=rules)


@contextmanager
def transcribing(recognizer: Recognizer, normalizer: AudioNormalizer, *, rules: TranscriberRules = RULES) -> Iterator[Transcriber]:
    with running(recognizer) as engine:
        yield transcriber_on(engine, normalizer, rules=rules)


def parts_of(samples: Samples, recognizer: Recognizer, *, truncated: bool = False, block_samples: int = 7_777) -> list[Part]:
    normalizer = GivenNormalizer(samples, truncated=truncated, block_samples=block_samples)
    with transcribing(recognizer, normalizer) as transcriber:
        return list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))


def transcript_of(parts: Iterable[Part]) -> Transcript:
    return join([part.transcript for part in parts])


def tone(duration_s: float) -> Samples:
    return np.full(round(duration_s * MODEL_RATE_HZ), 0.25, np.float32)


def told_words(transcript: Transcript) -> list[tuple[str, int, int]]:
    """Return every word with its first sample and the one after its last; times off the grid of samples are a failure."""
    told = []
    for token in transcript.tokens:
        start, end = token.start_s * MODEL_RATE_HZ, token.end_s * MODEL_RATE_HZ
        assert (start, end) == pytest.approx((round(start), round(end)), abs=1e-4)
        told.append((token.text, round(start), round(end)))
    return told


def written_words(words: Iterable[RulerWord]) -> list[tuple[str, int, int]]:
    return [(f" {word.text}", word.start_sample, word.end_sample) for word in words]


def talk(duration_s: float, *, seed: int) -> list[RulerWord]:
    """Return sentences of up to 20 s, words close together, with pauses of 0.35 to 40 s between the sentences."""
    chance = random.Random(seed)  # noqa: S311
    words: list[RulerWord] = []
    at = round(chance.uniform(0, 3) * MODEL_RATE_HZ)
    while True:
        sentence_end = at + round(chance.uniform(0.3, 20) * MODEL_RATE_HZ)
        while at < sentence_end:
            word = RulerWord(number=len(words), start_sample=at, n_samples=chance.randint(2_000, 16_000))
            if word.end_sample > duration_s * MODEL_RATE_HZ:
                return words
            words.append(word)
            at = word.end_sample + chance.choice([0, 0, 500, 3_000])
        words[-1] = msgspec.structs.replace(words[-1], ends_sentence=True)
        at += round(chance.choice([0.35, 0.5, 1.0, 2.5, 7.0, 40.0]) * MODEL_RATE_HZ)


def test_a_short_file_goes_to_the_recogniser_whole_and_bit_by_bit() -> None:
    recognizer = FakeRecognizer("One pass, exact text.")
    samples = np.concatenate([tone(1), np.zeros(50 * MODEL_RATE_HZ, np.float32), tone(2)])
    parts = parts_of(samples, recognizer)
    assert transcript_of(parts).text == "One pass, exact text."
    assert len(recognizer.heard) == 1
    assert np.array_equal(recognizer.heard[0].samples, samples)
    assert [part.last for part in parts] == [False, True]
    assert parts[-1].heard_s == 53.0
    assert not any(part.truncated for part in parts)


@pytest.mark.parametrize("block_samples", [1_000, 16_000, 1_000_000])
@pytest.mark.parametrize(("extra_samples", "n_clips"), [(0, 1), (1, 3)])
def test_one_sample_over_the_single_pass_makes_windows(extra_samples: int, n_clips: int, block_samples: int) -> None:
    recognizer = FakeRecognizer()
    parts = parts_of(np.concatenate([tone(60), tone(1)[:extra_samples]]), recognizer, block_samples=block_samples)
    assert len(recognizer.heard) == n_clips
    overlaps = (n_clips - 1) * round(OVERLAP_S * MODEL_RATE_HZ)
    assert sum(clip.samples.size for clip in recognizer.heard) == 60 * MODEL_RATE_HZ + extra_samples + overlaps
    assert parts[-1].heard_s == 60 + extra_samples / MODEL_RATE_HZ


def test_no_clip_is_longer_than_the_model_takes() -> None:
    recognizer = FakeRecognizer(facts=msgspec.structs.replace(FAKE_FACTS, longest_clip_s=10.0))
    parts_of(tone(45), recognizer)  # a longer one it would refuse
    assert sum(clip.samples.size for clip in recognizer.heard) > 45 * MODEL_RATE_HZ


@pytest.mark.parametrize("duration_s", [0.1, 2.0, 300.0])
@pytest.mark.parametrize("peak", [0.0, SILENCE_PEAK])
def test_silence_gives_no_text_and_never_wakes_the_recognizer(duration_s: float, peak: float) -> None:
    recognizer = FakeRecognizer("never said")
    samples = silence(duration_s).samples
    samples[::2] = peak
    parts = parts_of(samples, recognizer)
    assert transcript_of(parts) == Transcript()
    assert [part.last for part in parts] == [True]
    assert parts[-1].heard_s == duration_s
    assert recognizer.heard == []


def test_what_is_quiet_but_not_silent_reaches_the_recognizer() -> None:
    recognizer = FakeRecognizer()
    samples = silence(1.0).samples
    samples[::100] = 2 * SILENCE_PEAK
    parts_of(samples, recognizer)
    assert len(recognizer.heard) == 1


@pytest.mark.parametrize("n_samples", [1, round(SHORTEST_CLIP_S * MODEL_RATE_HZ) - 1])
def test_audio_that_is_too_short_is_refused(n_samples: int) -> None:
    recognizer = FakeRecognizer()
    with pytest.raises(AudioTooShortError):
        parts_of(tone(1)[:n_samples], recognizer)
    assert recognizer.heard == []


def test_the_shortest_audio_is_heard() -> None:
    assert transcript_of(parts_of(tone(SHORTEST_CLIP_S), FakeRecognizer())).text == "Hello there."


def test_a_file_without_a_sample_is_refused() -> None:
    with pytest.raises(AudioRejectedError, match="no audio") as refused:
        parts_of(tone(0), FakeRecognizer())
    assert not isinstance(refused.value, AudioTooShortError)


def test_a_real_file_that_is_too_long_is_refused() -> None:
    recognizer = FakeRecognizer()
    rules = TranscriberRules(limits=DecodeLimits(max_duration_s=2.0))
    with transcribing(recognizer, FakeNormalizer(), rules=rules) as transcriber:
        with pytest.raises(AudioTooLongError):
            list(transcriber.transcribe(BytesIO(wav_bytes(tone(3), rate_hz=16_000)), OPTIONS, cancel=CancelToken()))
        assert transcript_of(
            transcriber.transcribe(BytesIO(wav_bytes(tone(2), rate_hz=16_000)), OPTIONS, cancel=CancelToken())
        ).text == "Hello there."  # fmt: skip
    assert len(recognizer.heard) == 1


def test_a_limit_that_is_met_late_withdraws_what_is_queued() -> None:
    recognizer = FakeRecognizer()
    gated = GatedRecognizer(recognizer)
    normalizer = GivenNormalizer(tone(90), then=AudioTooLongError(limit_s=90.0))
    with transcribing(gated, normalizer) as transcriber, pytest.raises(AudioTooLongError):
        list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
    assert len(recognizer.batches) <= 1  # only what was running


@pytest.mark.parametrize("duration_s", [2.0, 200.0])
def test_a_file_that_broke_off_gives_what_is_there_and_says_so(duration_s: float) -> None:
    parts = parts_of(tone(duration_s), FakeRecognizer(), truncated=True)
    assert transcript_of(parts).text.startswith("Hello there.")
    assert [part.truncated for part in parts if part.last] == [True]


def test_without_a_model_nothing_is_decoded() -> None:
    normalizer = GivenNormalizer(tone(2))
    engine = Engine(FakeRecognizer, now_s=monotonic, max_waiting_s=10.0, rules=BatchRules())
    transcriber = transcriber_on(engine, normalizer)
    with pytest.raises(ModelNotReadyError):
        list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
    assert normalizer.n_blocks == 0


@pytest.mark.parametrize("seed", range(2))
def test_half_an_hour_of_talk_is_written_word_for_word_at_its_very_times(seed: int) -> None:
    words = talk(1_800.0, seed=seed)
    parts = parts_of(encode_words(words, 1_800.0).samples, RulerRecognizer())
    assert told_words(transcript_of(parts)) == written_words(words)
    assert len(parts) > 30
    assert parts[-1].heard_s == 1_800.0


def test_a_single_pass_is_written_word_for_word_too() -> None:
    words = talk(60.0, seed=7)
    assert told_words(transcript_of(parts_of(encode_words(words, 60.0).samples, RulerRecognizer()))) == written_words(words)


@pytest.mark.parametrize("least_share", [0.0, 0.5, 1.0])
def test_talk_without_a_pause_is_written_word_for_word_whatever_is_heard_of_cut_words(least_share: float) -> None:
    chance = random.Random(9)  # noqa: S311
    words: list[RulerWord] = []
    while (at := words[-1].end_sample if words else 0) < 295 * MODEL_RATE_HZ:
        words.append(RulerWord(number=len(words), start_sample=at, n_samples=chance.choice([1_000, 5_000, 30_000, 56_000])))
    parts = parts_of(encode_words(words, 300.0).samples, RulerRecognizer(least_share=least_share))
    assert told_words(transcript_of(parts)) == written_words(words)
    assert len(parts) > 10


WORD_SAMPLES: Final = st.one_of(st.integers(2_000, 8_000), st.integers(2_000, 24_000))  # 1.5 s: what 8 s windows hold whole


@st.composite
def talks(draw: st.DrawFn) -> list[RulerWord]:
    """Words with gaps of every kind between them: none, those of fluent speech, breaths, pauses, long silence."""
    at, words = draw(st.integers(0, 40_000)), list[RulerWord]()
    gaps = st.sampled_from(
        draw(st.sampled_from([(0,), (0, 1, 700), (0, 0, 0, 0, 4_900), (0, 700, 9_600), (0, 8_000, 40_000, 200_000)]))
    )
    for n_samples, gap, ends in draw(st.lists(st.tuples(WORD_SAMPLES, gaps, st.booleans()), min_size=40, max_size=90)):
        words.append(RulerWord(number=len(words), start_sample=at, n_samples=n_samples, ends_sentence=ends))
        at = words[-1].end_sample + gap
    return words


@given(talks(), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=30)
def test_no_word_is_lost_doubled_or_moved_by_a_sample(words: list[RulerWord], least_share: float) -> None:
    samples = encode_words(words, words[-1].end_sample / MODEL_RATE_HZ + 0.5).samples
    rules = TranscriberRules(limits=LIMITS, single_pass_s=1.0, window_s=8.0)
    with transcribing(RulerRecognizer(least_share=least_share), GivenNormalizer(samples), rules=rules) as transcriber:
        parts = list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
    assert told_words(transcript_of(parts)) == written_words(words)


def two_tones() -> Samples:
    return np.concatenate([tone(1), np.zeros(MODEL_RATE_HZ // 2, np.float32), tone(1)])


@pytest.mark.parametrize(
    ("chunking", "n_clips"),
    [(None, 1), (Chunking(), 1), (Chunking(spans=SpanRules()), 2), (Chunking(spans=SpanRules(least_silence_s=1)), 1)],
)
def test_a_short_file_is_cut_as_asked(chunking: Chunking | None, n_clips: int) -> None:
    recognizer = FakeRecognizer("Word.")
    with transcribing(recognizer, GivenNormalizer(two_tones())) as transcriber:
        parts = list(transcriber.transcribe(NO_FILE, FileOptions(chunking=chunking), cancel=CancelToken()))
    assert len(recognizer.heard) == n_clips
    assert transcript_of(parts).text == " ".join(["Word."] * n_clips)
    assert [part.start_s for part in parts[:-1]] == pytest.approx([0.0, 1.3][:n_clips], abs=FRAME_S)


def test_how_likely_speech_is_is_told_where_it_is_asked_for() -> None:
    options = FileOptions(chunking=Chunking(spans=SpanRules()), voice=True)
    with transcribing(FakeRecognizer("Word."), GivenNormalizer(two_tones())) as transcriber:
        first, second, _last = transcriber.transcribe(NO_FILE, options, cancel=CancelToken())
        unasked, *_ = transcriber.transcribe(NO_FILE, FileOptions(), cancel=CancelToken())
    assert unasked.voice is None
    assert first.voice is not None
    assert second.voice is not None
    assert second.voice.mean(1.6, 2.5) == 1.0
    assert second.voice.mean(1.3, 1.4) == 0.0


def test_files_that_are_transcribed_at_the_same_time_do_not_mix() -> None:
    talks = [talk(180.0, seed=100 + i) for i in range(6)]
    talks = [[msgspec.structs.replace(word, number=word.number + 10_000 * i) for word in words] for i, words in enumerate(talks)]
    facts = msgspec.structs.replace(RULER_FACTS, batch_padded_s=400.0)
    with running(RulerRecognizer(facts=facts)) as engine:
        told: dict[int, Transcript] = {}

        def transcribe(i: int) -> None:
            transcriber = transcriber_on(engine, GivenNormalizer(encode_words(talks[i], 180.0).samples))
            told[i] = transcript_of(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))

        threads = [threading.Thread(target=transcribe, args=(i,)) for i in range(len(talks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert {i: told_words(transcript) for i, transcript in told.items()} == {
        i: written_words(words) for i, words in enumerate(talks)
    }


def test_parts_come_in_the_order_of_time_and_only_the_last_is_the_last() -> None:
    parts = parts_of(encode_words(talk(600.0, seed=11), 600.0).samples, RulerRecognizer())
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [part.heard_s for part in parts] == sorted(part.heard_s for part in parts)
    starts = [token.start_s for part in parts for token in part.transcript.tokens]
    assert starts == sorted(starts)


def test_the_first_part_is_there_before_the_file_is_decoded() -> None:
    normalizer = GivenNormalizer(tone(3_600))
    with transcribing(FakeRecognizer(), normalizer) as transcriber:
        steps = transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken())
        first = next(steps)
        assert first.heard_s < 600  # of an hour: decoding waits for the recogniser, so nothing piles up
        assert first.transcript.text
        steps.close()


class EndlessTalk(FakeNormalizer):
    """Half a minute of words with breaths, half a minute without any, half a minute of silence, over and over."""

    def __init__(self, duration_s: float) -> None:
        words = np.concatenate([tone(0.4), np.zeros(1_600, np.float32)])
        breathing, hurried = np.tile(np.concatenate([np.tile(words, 6), silence(0.5).samples]), 9), np.tile(words, 60)
        talk = np.concatenate([breathing, hurried, silence(30).samples])
        self._seconds = talk[: talk.size // MODEL_RATE_HZ * MODEL_RATE_HZ].reshape(-1, MODEL_RATE_HZ)
        self._duration_s = duration_s

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        for at in range(round(self._duration_s)):
            yield Block(self._seconds[at % self._seconds.shape[0]])


class ForgetfulRecognizer(FakeRecognizer):
    """Keeps nothing of what it heard."""

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        said = super().recognize(clips, options)
        self.heard.clear()
        self.asked.clear()
        self.batches.clear()
        return said


def test_three_hours_take_no_more_memory_than_ten_minutes() -> None:
    peaks_bytes = []
    with running(ForgetfulRecognizer("Some eight words of text in every window.")) as engine:
        for duration_s in (600.0, 10_800.0):
            cancel = CancelToken()
            tracemalloc.start()
            try:
                transcriber = transcriber_on(engine, EndlessTalk(duration_s))
                heard_s = [part.heard_s for part in transcriber.transcribe(NO_FILE, OPTIONS, cancel=cancel)][-1]
                peaks_bytes.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            assert heard_s == duration_s
    assert peaks_bytes[1] < 1.5 * peaks_bytes[0]


def test_what_was_answered_is_not_kept_for_a_cancellation() -> None:
    class Counting(CancelToken):
        n_kept = most_kept = 0

        def on_cancel(self, callback: Callable[[], object]) -> None:
            super().on_cancel(callback)
            self.n_kept += 1
            self.most_kept = max(self.most_kept, self.n_kept)

        def forget(self, callback: Callable[[], object]) -> None:
            super().forget(callback)
            self.n_kept -= 1

    cancel = Counting()
    with transcribing(FakeRecognizer(), GivenNormalizer(tone(900))) as transcriber:
        n_parts = len(list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=cancel)))
    assert n_parts > 30
    assert cancel.n_kept == 0
    assert cancel.most_kept <= 8


def test_a_callback_that_was_taken_back_is_not_called() -> None:
    called, cancel = list[int](), CancelToken()
    kept, taken_back = (lambda: called.append(1)), (lambda: called.append(2))
    cancel.on_cancel(kept)
    cancel.on_cancel(taken_back)
    cancel.forget(taken_back)
    cancel.cancel()
    assert called == [1]


def test_a_monologue_comes_in_order_and_nothing_is_said_twice() -> None:
    words = [RulerWord(number=i, start_sample=i * 6_000, n_samples=6_000) for i in range(600)]
    parts = parts_of(encode_words(words, 225.0).samples, RulerRecognizer())
    assert len(parts) > 8
    told = [token.text for part in parts for token in part.transcript.tokens]
    assert told == [f" {word.text}" for word in words]
    for before, after in pairwise(part for part in parts if part.transcript.tokens):
        assert before.transcript.tokens[-1].end_s <= after.transcript.tokens[0].start_s
        assert before.start_s < after.start_s


def test_a_model_that_takes_large_batches_is_given_enough_for_two() -> None:
    facts = msgspec.structs.replace(FAKE_FACTS, batch_padded_s=300.0)
    gated, normalizer = GatedRecognizer(FakeRecognizer(facts=facts)), Watched(tone(900), reaches_s=480.0)
    with running(gated) as engine:
        steps = transcriber_on(engine, normalizer).transcribe(NO_FILE, OPTIONS, cancel=CancelToken())
        request = threading.Thread(target=next, args=(steps,))
        request.start()
        assert normalizer.reached.wait(PATIENCE_S)  # eight windows would be over long before
        gated.let_go.set()
        request.join(PATIENCE_S)
        steps.close()


def test_an_abandoned_file_leaves_the_queue() -> None:
    recognizer = FakeRecognizer()
    with transcribing(recognizer, GivenNormalizer(tone(3_600))) as transcriber:
        steps = transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken())
        next(steps)
        steps.close()
    assert sum(clip.duration_s for clip in recognizer.heard) < 600


def test_cancelling_midway_withdraws_what_is_queued() -> None:
    recognizer = FakeRecognizer()
    gated = GatedRecognizer(recognizer)
    cancel, ended = CancelToken(), list[BaseException]()
    with transcribing(gated, GivenNormalizer(tone(3_600))) as transcriber:

        def transcribe() -> None:
            try:
                list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=cancel))
            except BaseException as failure:
                ended.append(failure)

        request = threading.Thread(target=transcribe)
        request.start()
        assert gated.entered.wait(PATIENCE_S)
        cancel.cancel()
        gated.let_go.set()
        request.join(PATIENCE_S)
    assert [type(failure) for failure in ended] == [CancelledError]
    assert len(recognizer.batches) <= 2  # what was running, and a window that was being handed in at that very moment


def test_a_request_that_was_cancelled_before_it_began_decodes_nothing() -> None:
    normalizer, cancel = GivenNormalizer(tone(2)), CancelToken()
    cancel.cancel()
    with transcribing(FakeRecognizer(), normalizer) as transcriber, pytest.raises(CancelledError):
        list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=cancel))
    assert normalizer.n_blocks == 0


@pytest.mark.parametrize("duration_s", [2.0, 300.0])
def test_a_failing_recogniser_fails_the_file(duration_s: float) -> None:
    with pytest.raises(RecognitionError):
        parts_of(tone(duration_s), FakeRecognizer(fails_on=lambda _clip: True))


def test_a_failure_midway_withdraws_the_windows_after_it() -> None:
    recognizer = FakeRecognizer(fails_on=lambda _clip: True)
    with transcribing(recognizer, GivenNormalizer(tone(3_600))) as transcriber, pytest.raises(RecognitionError):
        list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
    assert len({id(clip) for clip in recognizer.heard}) < 20  # of 144 windows


def test_a_file_that_fails_midway_is_not_decoded_on_and_its_decoder_is_let_go_at_once() -> None:
    class Lending(GivenNormalizer):
        let_go = False

        def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
            try:
                yield from super().blocks(file, limits=limits)
            finally:
                self.let_go = True

    normalizer = Lending(tone(3_600))
    with transcribing(FakeRecognizer(fails_on=lambda _clip: True), normalizer) as transcriber:
        with pytest.raises(RecognitionError) as failure:  # whose traceback keeps all that was under way alive
            list(transcriber.transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
        assert normalizer.let_go
    assert failure.value


def test_a_file_that_was_begun_is_finished_however_full_the_queue_is() -> None:
    gated, normalizer = GatedRecognizer(FakeRecognizer()), Watched(tone(300), reaches_s=100.0)
    with running(gated, max_waiting_s=1.0) as engine:
        steps = transcriber_on(engine, normalizer).transcribe(NO_FILE, OPTIONS, cancel=CancelToken())
        request = threading.Thread(target=next, args=(steps,))
        request.start()
        assert normalizer.reached.wait(PATIENCE_S)  # so several windows wait where one second may
        gated.let_go.set()
        request.join(PATIENCE_S)
        assert [part.heard_s for part in steps if part.last] == [300.0]


def test_a_full_queue_refuses_the_file() -> None:
    gated = GatedRecognizer(FakeRecognizer())
    with running(gated, max_waiting_s=10.0) as engine:
        first = engine.submit(Clip(tone(1)), Options())
        assert gated.entered.wait(PATIENCE_S)
        waiting = engine.submit(Clip(tone(10)), Options())
        with pytest.raises(OverloadedError):
            list(transcriber_on(engine, GivenNormalizer(tone(30))).transcribe(NO_FILE, OPTIONS, cancel=CancelToken()))
        gated.let_go.set()
        assert first.result(PATIENCE_S).text == waiting.result(PATIENCE_S).text

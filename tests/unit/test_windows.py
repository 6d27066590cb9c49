"""Windows hold all speech, once or where they overlap twice, at its true place, in flat memory."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.domain.audio import MODEL_RATE_HZ, Clip, Samples
from app.domain.pauses import BLOCK_SAMPLES
from app.domain.ports import VoiceStream
from app.domain.transcript import Token, Transcript
from app.domain.voice_activity import SpanRules, speech_spans
from app.domain.windows import LONGEST_PAUSE_S, OVERLAP_S, Pause, Window, WindowCutter
from app.testing.fakes import FakeVoiceDetector

RULES: Final = SpanRules()
ROUNDING_S: Final = 1e-9
MINUTE: Final = 60 * MODEL_RATE_HZ


def loud(n_samples: int, *, seed: int = 1) -> Samples:
    """Return noise of which no two stretches are alike."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n_samples).astype(np.float32)


def windows_of(samples: Samples, *, longest_s: float, cuts: list[int] | None = None, packed: bool = True) -> list[Window]:
    cutter = WindowCutter(FakeVoiceDetector(), rules=RULES, longest_s=longest_s, packed=packed)
    found = [window for piece in np.split(samples, sorted(cuts or [])) for window in cutter.push(piece)]
    return [*found, *cutter.finish()]


def places(window: Window) -> NDArray[np.int64]:
    """Return where in the file each sample of a window's clip comes from."""
    at = np.arange(window.clip.samples.size) + round(window.start_s * MODEL_RATE_HZ)
    for pause in window.left_out:
        at[round(pause.at_s * MODEL_RATE_HZ) :] += round(pause.duration_s * MODEL_RATE_HZ)
    return at


def n_windows_of(samples: Samples, windows: list[Window]) -> NDArray[np.int64]:
    """Return for each sample of the file how many windows hold it."""
    held = np.zeros(samples.size, np.int64)
    for window in windows:
        held[places(window)] += 1
    return held


def spoken(samples: Samples) -> NDArray[np.bool_]:
    """Tell each sample that is speech, pauses within it included, but for bursts that are too short."""
    speech = np.zeros(samples.size, np.bool_)
    rules = msgspec.structs.replace(RULES, pad_before_s=0.0, pad_after_s=0.0)
    for span in speech_spans(FakeVoiceDetector().probabilities(Clip(samples)), rules):
        speech[round(span.start_s * MODEL_RATE_HZ) : round(span.end_s * MODEL_RATE_HZ)] = True
    return speech


class CountingDetector(FakeVoiceDetector):
    """Counts the samples that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.n_heard = 0

    def open_stream(self) -> VoiceStream:
        return _CountingStream(self, super().open_stream())


class _CountingStream:
    def __init__(self, detector: CountingDetector, inner: VoiceStream) -> None:
        self._detector, self._inner = detector, inner

    def push(self, samples: Samples) -> Samples:
        self._detector.n_heard += samples.size
        return self._inner.push(samples)


@st.composite
def files(draw: st.DrawFn) -> Samples:
    """A file of up to a minute and a half: noise and silence taking turns, of any lengths."""
    lengths = st.tuples(st.sampled_from([1, 2_000, 6_000, 20_000, 60_000, 120_000, 250_000]), st.integers(0, 1_100)).map(sum)
    turns = draw(st.lists(lengths, min_size=1, max_size=9))
    noisy = draw(st.booleans())
    samples = loud(sum(turns))
    for piece in np.split(samples, np.cumsum(turns)[:-1])[int(noisy) :: 2]:
        piece[:] = 0
    return samples


longest = st.sampled_from([5.0, 8.0, 20.0])


@given(files(), longest)
@settings(max_examples=40)
def test_every_sample_of_speech_is_in_a_window_and_in_two_only_where_they_overlap(samples: Samples, longest_s: float) -> None:
    windows = windows_of(samples, longest_s=longest_s)
    held = n_windows_of(samples, windows)
    assert (held[spoken(samples)] >= 1).all()
    for before, after in pairwise(windows):
        if before.next_start_s is None:
            assert before.end_s <= after.start_s
        else:
            overlap = slice(round(after.start_s * MODEL_RATE_HZ), round(before.end_s * MODEL_RATE_HZ))
            held[overlap] -= 1
    assert held.max(initial=0) <= 1


@given(files(), longest)
@settings(max_examples=40)
def test_windows_overlap_enough_or_not_at_all(samples: Samples, longest_s: float) -> None:
    overlap_s = min(OVERLAP_S, longest_s / 4)
    windows = windows_of(samples, longest_s=longest_s)
    assert not windows or windows[-1].next_start_s is None
    for before, after in pairwise(windows):
        if before.next_start_s is not None:
            assert after.start_s == before.next_start_s
            until_s = min(before.next_start_s + overlap_s, samples.size / MODEL_RATE_HZ)
            assert before.end_s == pytest.approx(until_s, abs=1 / MODEL_RATE_HZ)


@given(files(), longest)
@settings(max_examples=40)
def test_a_window_is_short_enough_and_holds_the_samples_of_its_places(samples: Samples, longest_s: float) -> None:
    for window in windows_of(samples, longest_s=longest_s):
        assert 0 < window.clip.duration_s <= longest_s + ROUNDING_S
        assert window.end_s - window.start_s <= longest_s + ROUNDING_S
        assert np.array_equal(window.clip.samples, samples[places(window)])
        assert round(window.end_s * MODEL_RATE_HZ) == places(window)[-1] + 1


@given(files(), longest)
@settings(max_examples=40)
def test_long_silence_is_in_no_window(samples: Samples, longest_s: float) -> None:
    longest_silence_s = LONGEST_PAUSE_S + 2 * BLOCK_SAMPLES / MODEL_RATE_HZ + RULES.pad_before_s + RULES.pad_after_s
    for window in windows_of(samples, longest_s=longest_s):
        sounds = np.flatnonzero(np.concatenate([[1], window.clip.samples, [1]]))
        assert np.diff(sounds).max() <= (longest_silence_s + OVERLAP_S / 2) * MODEL_RATE_HZ  # an overlap may reach into silence


@given(files(), st.data())
@settings(max_examples=30)
def test_windows_do_not_depend_on_how_the_file_comes_in(samples: Samples, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, samples.size), max_size=12))
    whole, pieces = windows_of(samples, longest_s=8.0), windows_of(samples, longest_s=8.0, cuts=cuts)
    assert [(one.start_s, one.left_out, one.next_start_s) for one in whole] == [
        (one.start_s, one.left_out, one.next_start_s) for one in pieces
    ]
    assert all(np.array_equal(one.clip.samples, other.clip.samples) for one, other in zip(whole, pieces, strict=True))


@given(files(), longest, st.data())
def test_unpacked_every_span_is_a_window_of_its_own(samples: Samples, longest_s: float, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, samples.size), max_size=4))
    found = windows_of(samples, longest_s=longest_s, cuts=cuts, packed=False)
    overlap_s = min(OVERLAP_S, longest_s / 4)
    rules = msgspec.structs.replace(RULES, longest_s=longest_s - overlap_s)
    spans = speech_spans(FakeVoiceDetector().probabilities(Clip(samples)), rules)
    assert len(found) == len(spans)
    for window, span, before in zip(found, spans, (None, *spans), strict=False):
        start_s = span.start_s - (overlap_s / 2 if before is not None and before.goes_on else 0)
        end_s = min(span.end_s + (overlap_s / 2 if span.goes_on else 0), samples.size / MODEL_RATE_HZ)
        assert (window.start_s, window.end_s) == pytest.approx((start_s, end_s), abs=1 / MODEL_RATE_HZ)
        assert window.left_out == ()


def test_unpacked_a_window_does_not_wait_for_what_follows() -> None:
    cutter = WindowCutter(FakeVoiceDetector(), rules=RULES, longest_s=30, packed=False)
    heard = np.concatenate([loud(MODEL_RATE_HZ), np.zeros(4 * MODEL_RATE_HZ, np.float32)])
    assert len(list(cutter.push(heard))) == 1


def test_an_empty_or_silent_file_has_no_window() -> None:
    assert windows_of(np.zeros(0, np.float32), longest_s=30.0) == []
    assert windows_of(np.zeros(2 * MINUTE, np.float32), longest_s=30.0) == []


def test_speech_without_a_pause_is_all_there_and_every_window_overlaps_with_the_next() -> None:
    samples = loud(5 * MINUTE + 777)
    windows = windows_of(samples, longest_s=30.0)
    assert all(before.next_start_s == after.start_s for before, after in pairwise(windows))
    assert n_windows_of(samples, windows).min() == 1
    assert len(windows) <= 5 * 60 / 15 + 1  # none is shorter than half the longest, but for the last


def test_where_somebody_pauses_nothing_overlaps() -> None:
    second = np.concatenate([loud(6 * MODEL_RATE_HZ), np.zeros(MODEL_RATE_HZ // 2, np.float32)])
    windows = windows_of(np.tile(second, 40), longest_s=30.0)
    assert all(window.next_start_s is None for window in windows)
    assert min(window.clip.duration_s for window in windows[:-1]) > 16  # a window ends with the first pause of its last part


def test_a_long_pause_is_shortened_to_a_second() -> None:
    samples = np.concatenate([loud(3 * MODEL_RATE_HZ), np.zeros(8 * MODEL_RATE_HZ, np.float32), loud(3 * MODEL_RATE_HZ, seed=2)])
    (window,) = windows_of(samples, longest_s=30.0)
    (pause,) = window.left_out
    assert pause.duration_s == pytest.approx(8 - 2.4 - 2 * 0.2, abs=1.1)  # a block that is not silent as a whole is kept
    assert window.end_s == pytest.approx(14.0)


def test_the_voice_detector_hears_little_of_a_file_and_all_of_it_where_asked() -> None:
    """Five minutes of words with the short gaps that speech has, and a breath now and then; then five without any breath."""
    chance = np.random.default_rng(5)
    words = [np.concatenate([loud(n), np.zeros(n // 4, np.float32)]) for n in chance.integers(3_000, 12_000, 550)]
    breaths = [np.zeros(MODEL_RATE_HZ * (i % 14 == 0) // 2, np.float32) for i in range(len(words))]
    breathing = np.concatenate([piece for pair in zip(words, breaths, strict=True) for piece in pair])
    for samples, most in ((breathing, 0.25), (np.concatenate(words), 0.45)):
        detector, thorough = CountingDetector(), CountingDetector()
        cutter = WindowCutter(detector, rules=RULES, longest_s=30.0)
        assert [*cutter.push(samples), *cutter.finish()]
        assert detector.n_heard <= most * samples.size
        [*WindowCutter(thorough, rules=RULES, longest_s=30.0, packed=False).push(samples)]
        assert thorough.n_heard == pytest.approx(samples.size, abs=5 * MODEL_RATE_HZ)


@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_what_is_quieter_than_any_recording_is_one_and_the_same_silence(noise: float) -> None:
    """After digital silence a hiss at -100 dB is no reason to take it for speech."""
    samples = np.concatenate([np.zeros(20 * MODEL_RATE_HZ, np.float32), np.float32(noise) * loud(20 * MODEL_RATE_HZ)])
    assert windows_of(samples, longest_s=30.0) == []


def test_steady_noise_is_not_taken_for_speech_unheard() -> None:
    """The fake hears speech only above its threshold; this noise is under it, and nothing in the file is quieter."""
    assert windows_of(np.float32(0.01) * loud(2 * MINUTE), longest_s=30.0) == []


def token(text: str, start_s: float, end_s: float) -> Token:
    return Token(id=1, text=text, start_s=start_s, end_s=end_s, logprob=-0.5)


GAPPED: Final = Window(
    clip=Clip(np.zeros(10 * MODEL_RATE_HZ, np.float32)),
    start_s=100.0,
    left_out=(Pause(at_s=3.2, duration_s=16.0), Pause(at_s=6.4, duration_s=32.0)),
)


def test_times_of_a_window_are_put_back_onto_the_file() -> None:
    pieces = ((" a", 0.0, 0.5), (" b", 3.1, 3.2), (" c", 3.2, 3.3), (".", 3.3, 3.3), (" d", 9.9, 10.0))
    found = GAPPED.on_file(Transcript(tokens=tuple(token(*piece) for piece in pieces))).tokens
    assert [one.text for one in found] == [" a", " b", " c", ".", " d"]
    assert [one.start_s for one in found] == pytest.approx([100.0, 103.1, 119.2, 119.3, 157.9])
    assert [one.end_s for one in found] == pytest.approx([100.5, 103.2, 119.3, 119.3, 158.0])
    assert GAPPED.end_s == 158.0


@pytest.mark.parametrize(("start_s", "end_s", "expected"), [(2.9, 3.3, (102.9, 103.2)), (3.1, 3.9, (119.2, 119.9))])
def test_no_word_reaches_across_silence_that_was_left_out(start_s: float, end_s: float, expected: tuple[float, float]) -> None:
    (word,) = GAPPED.on_file(Transcript(tokens=(token(" wo", start_s, start_s), token("rd", start_s, end_s)))).words
    assert (word.start_s, word.end_s) == pytest.approx(expected)


@given(st.lists(st.floats(0, 10), max_size=40))
def test_times_put_back_never_run_back_and_stay_within_the_window(times_s: list[float]) -> None:
    ordered = sorted(times_s)
    tokens = [
        token(" w" if i % 3 else "w", start, end) for i, (start, end) in enumerate(zip(ordered[::2], ordered[1::2], strict=False))
    ]
    found = GAPPED.on_file(Transcript(tokens=tuple(tokens))).tokens
    told = [time_s for one in found for time_s in (one.start_s, one.end_s)]
    assert told == sorted(told)
    assert all(GAPPED.start_s <= time_s <= GAPPED.end_s for time_s in told)


def test_how_likely_speech_is_is_told_on_the_files_time() -> None:
    probabilities = np.linspace(0.1, 1, 313, dtype=np.float32)
    track = GAPPED.voice_on_file(probabilities)
    assert track.start_s == 100.0
    assert track.mean(110.0, 111.0) == 0.0  # left out
    assert track.mean(103.1, 103.2) == pytest.approx(probabilities[97:100].mean(), abs=0.01)
    assert track.mean(157.9, 158.0) == pytest.approx(probabilities[-3:].mean(), abs=0.01)


def test_short_speech_near_other_speech_shares_its_window() -> None:
    second = loud(MODEL_RATE_HZ)
    samples = np.concatenate([np.concatenate([second, np.zeros(MODEL_RATE_HZ, np.float32)])] * 60)
    assert len(windows_of(samples, longest_s=30.0)) <= 7


def test_a_window_does_not_wait_for_speech_that_cannot_share_it() -> None:
    cutter = WindowCutter(FakeVoiceDetector(), rules=RULES, longest_s=30.0)
    found = list(cutter.push(np.concatenate([loud(5 * MODEL_RATE_HZ), np.zeros(MINUTE, np.float32)])))
    assert len(found) == 1


@pytest.mark.parametrize(("n_loud", "n_silent"), [(1, 0), (0, 1), (40, 1), (29, 29)])
def test_memory_does_not_grow_with_the_file(n_loud: int, n_silent: int) -> None:
    """Seconds of speech and of silence take turns for eight minutes, 31 MB of samples."""
    second, silent = loud(MODEL_RATE_HZ), np.zeros(MODEL_RATE_HZ, np.float32)

    def blocks() -> Iterator[Samples]:
        for at in range(8 * 60):
            yield second if at % (n_loud + n_silent) < n_loud else silent

    cutter = WindowCutter(FakeVoiceDetector(), rules=RULES, longest_s=30.0)
    tracemalloc.start()
    try:
        n_heard = sum(window.clip.samples.size for block in blocks() for window in cutter.push(block))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bool(n_heard) is bool(n_loud)
    # Held are at most two windows and a stretch, 80 s or 5 MB; appending copies them once, and the detector takes some of its own.
    assert peak_bytes < 20_000_000

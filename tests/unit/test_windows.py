"""Windows hold all speech once, at its true place, in flat memory."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from app.domain.voice_activity import SpanRules, SpeechSpan, speech_spans
from app.domain.windows import Window, WindowCutter
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


def extent(window: Window) -> tuple[int, int]:
    """Return the window's first sample in the file and the one after its last."""
    first = round(window.start_s * MODEL_RATE_HZ)
    return first, first + window.clip.samples.size


def spans_of(samples: Samples, *, longest_s: float) -> tuple[SpeechSpan, ...]:
    probabilities = FakeVoiceDetector().probabilities(Clip(samples))
    return speech_spans(probabilities, msgspec.structs.replace(RULES, longest_s=longest_s))


@st.composite
def files(draw: st.DrawFn) -> Samples:
    """A file of up to some minutes: noise and silence taking turns, of any lengths."""
    turns = draw(st.lists(st.integers(1, 400 * FRAME_SAMPLES), min_size=1, max_size=14))
    noisy = draw(st.booleans())
    samples = loud(sum(turns))
    for piece in np.split(samples, np.cumsum(turns)[:-1])[int(noisy) :: 2]:
        piece[:] = 0
    return samples


longest = st.sampled_from([5.0, 8.0, 30.0])


@given(files(), longest)
@settings(max_examples=40)
def test_every_sample_of_speech_is_in_exactly_one_window(samples: Samples, longest_s: float) -> None:
    windows = [extent(window) for window in windows_of(samples, longest_s=longest_s)]
    assert all(before[1] <= after[0] for before, after in pairwise(windows))
    for span in spans_of(samples, longest_s=longest_s):
        first, end = round(span.start_s * MODEL_RATE_HZ), min(round(span.end_s * MODEL_RATE_HZ), samples.size)
        assert sum(window[0] <= first and end <= window[1] for window in windows) == 1


@given(files(), longest)
@settings(max_examples=40)
def test_a_window_is_short_enough_and_holds_the_samples_of_its_place(samples: Samples, longest_s: float) -> None:
    for window in windows_of(samples, longest_s=longest_s):
        first, end = extent(window)
        assert 0 < window.clip.duration_s <= longest_s + ROUNDING_S
        assert np.array_equal(window.clip.samples, samples[first:end])


@given(files(), longest)
@settings(max_examples=40)
def test_windows_begin_and_end_where_speech_does(samples: Samples, longest_s: float) -> None:
    spans = spans_of(samples, longest_s=longest_s)
    starts = {round(span.start_s * MODEL_RATE_HZ) for span in spans}
    ends = {min(round(span.end_s * MODEL_RATE_HZ), samples.size) for span in spans}
    windows = [extent(window) for window in windows_of(samples, longest_s=longest_s)]
    assert {first for first, _ in windows} <= starts
    assert {end for _, end in windows} <= ends


@given(files(), st.data())
@settings(max_examples=30)
def test_windows_do_not_depend_on_how_the_file_comes_in(samples: Samples, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, samples.size), max_size=12))
    whole, pieces = windows_of(samples, longest_s=8.0), windows_of(samples, longest_s=8.0, cuts=cuts)
    assert [extent(window) for window in whole] == [extent(window) for window in pieces]
    assert all(np.array_equal(one.clip.samples, other.clip.samples) for one, other in zip(whole, pieces, strict=True))


@given(files(), longest, st.data())
def test_unpacked_every_span_is_a_window_of_its_own(samples: Samples, longest_s: float, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, samples.size), max_size=4))
    found = windows_of(samples, longest_s=longest_s, cuts=cuts, packed=False)
    expected = [
        (round(span.start_s * MODEL_RATE_HZ), round(span.end_s * MODEL_RATE_HZ)) for span in spans_of(samples, longest_s=longest_s)
    ]
    assert [extent(window) for window in found] == [(first, min(end, samples.size)) for first, end in expected]


def test_unpacked_a_window_does_not_wait_for_what_follows() -> None:
    cutter = WindowCutter(FakeVoiceDetector(), rules=RULES, longest_s=30, packed=False)
    heard = np.concatenate([loud(MODEL_RATE_HZ), np.zeros(MODEL_RATE_HZ, np.float32)])
    assert len(list(cutter.push(heard))) == 1


def test_an_empty_or_silent_file_has_no_window() -> None:
    assert windows_of(np.zeros(0, np.float32), longest_s=30.0) == []
    assert windows_of(np.zeros(2 * MINUTE, np.float32), longest_s=30.0) == []


def test_speech_without_a_pause_is_all_there_and_cut_without_a_gap() -> None:
    samples = loud(5 * MINUTE + 777)
    windows = windows_of(samples, longest_s=30.0)
    assert np.array_equal(np.concatenate([window.clip.samples for window in windows]), samples)
    assert len(windows) <= 5 * 60 / 15 + 1  # none is shorter than half the longest, but for the last


def test_short_speech_near_other_speech_shares_its_window() -> None:
    second = loud(MODEL_RATE_HZ)
    samples = np.concatenate([np.concatenate([second, np.zeros(MODEL_RATE_HZ, np.float32)])] * 60)
    assert len(windows_of(samples, longest_s=30.0)) <= 5


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

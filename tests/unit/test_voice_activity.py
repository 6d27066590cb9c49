"""Speech spans follow from probabilities alone, never from how the audio came in."""

import math
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.audio import FRAME_S, Samples
from app.domain.voice_activity import SpanFinder, SpanRules, SpeechSpan, VoiceTrack, speech_spans

RULES: Final = SpanRules()
LONGEST_S: Final = 10.0
SHORTEST_SPEECH_FRAMES: Final = math.ceil(RULES.least_speech_s / FRAME_S)
SHORTEST_SILENCE_FRAMES: Final = math.ceil(RULES.least_silence_s / FRAME_S)
ROUNDING_S: Final = 1e-9


def frames(*runs: tuple[float, int]) -> Samples:
    """Return probabilities: each run a value and for how many frames it holds."""
    return np.concatenate([np.full(n_frames, value, np.float32) for value, n_frames in runs])


def spans(*runs: tuple[float, int], rules: SpanRules = RULES) -> list[tuple[float, float]]:
    return [(span.start_s, span.end_s) for span in speech_spans(frames(*runs), rules)]


def at(start_frame: float, end_frame: float, *, pad_s: float = RULES.pad_before_s) -> object:
    """Return what equals the span of these frames with its padding, but for rounding."""
    return pytest.approx((start_frame * FRAME_S - pad_s, end_frame * FRAME_S + pad_s))


probabilities = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.8, 1.0]), st.integers(1, 90)), min_size=1, max_size=14
).map(lambda runs: frames(*runs))
rules_of_every_kind = st.builds(
    SpanRules,
    threshold=st.sampled_from([0.3, 0.5, 0.9]),
    least_silence_s=st.sampled_from([0.0, 0.1, 0.3]),
    least_speech_s=st.sampled_from([0.0, 0.1, 0.25]),
    pad_before_s=st.sampled_from([0.0, 0.05, 0.2, 0.4]),
    pad_after_s=st.sampled_from([0.0, 0.05, 0.2, 0.4]),
    longest_s=st.sampled_from([2.0, 5.0, math.inf]),
)


def test_a_span_is_padded_on_both_sides() -> None:
    assert spans((0, 30), (1, 30), (0, 30)) == [at(30, 60)]


def test_padding_stops_at_the_ends_of_the_audio() -> None:
    assert spans((1, 30)) == [at(0, 30, pad_s=0)]


def test_neighbours_share_the_silence_between_them_and_never_overlap() -> None:
    pause = SHORTEST_SILENCE_FRAMES
    first, second = spans((0, 30), (1, 30), (0, pause), (1, 30), (0, 30))
    assert first == at(30, 60)
    assert second == pytest.approx((first[1], (90 + pause) * FRAME_S + RULES.pad_before_s))


def test_silence_holds_no_span() -> None:
    assert spans((0, 500)) == []
    assert speech_spans(np.zeros(0, np.float32), RULES) == ()


def test_speech_goes_on_while_the_probability_is_little_under_the_threshold() -> None:
    assert spans((0, 30), (0.5, 10), (0.4, 100), (0, 30)) == [at(30, 140)]


def test_a_probability_little_under_the_threshold_begins_no_speech() -> None:
    assert spans((0.49, 300)) == []


@pytest.mark.parametrize(("n_quiet", "n_spans"), [(SHORTEST_SILENCE_FRAMES - 1, 1), (SHORTEST_SILENCE_FRAMES, 2)])
def test_only_a_long_enough_pause_ends_a_span(n_quiet: int, n_spans: int) -> None:
    assert len(spans((1, 30), (0, n_quiet), (1, 30))) == n_spans


@pytest.mark.parametrize(("n_loud", "n_spans"), [(SHORTEST_SPEECH_FRAMES - 1, 0), (SHORTEST_SPEECH_FRAMES, 1)])
def test_a_short_burst_is_no_speech(n_loud: int, n_spans: int) -> None:
    assert len(spans((0, 30), (1, n_loud), (0, 30))) == n_spans
    assert len(spans((0, 30), (1, n_loud))) == n_spans


def test_too_long_speech_is_cut_at_its_least_probable_frame_without_a_gap() -> None:
    found = spans((1, 200), (0.6, 1), (1, 249), rules=SpanRules(longest_s=LONGEST_S))
    assert found == [at(0, 200, pad_s=0), at(200, 450, pad_s=0)]
    assert found[0][1] == found[1][0]


def test_the_cut_is_looked_for_in_the_last_part_only() -> None:
    found = spans((1, 100), (0.5, 1), (1, 99), (0.6, 1), (1, 249), rules=SpanRules(longest_s=LONGEST_S))
    assert found[0] == at(0, 200, pad_s=0)


@pytest.mark.parametrize("n_after", range(6))
def test_what_follows_a_cut_is_never_taken_for_a_burst(n_after: int) -> None:
    """However soon after the cut the speech ends, all of it is in the two spans."""
    found = spans(
        (1, 312), (0.6, 1), (1, n_after), (0, 40), rules=SpanRules(longest_s=LONGEST_S, pad_before_s=0.0, pad_after_s=0.0)
    )
    assert found == [at(0, 312, pad_s=0), at(312, 313 + n_after, pad_s=0)]


@given(probabilities, rules_of_every_kind)
def test_spans_are_in_order_apart_and_no_longer_than_allowed(heard: Samples, rules: SpanRules) -> None:
    found = speech_spans(heard, rules)
    assert all(span.end_s - span.start_s <= rules.longest_s + ROUNDING_S for span in found)
    assert all(before.end_s <= after.start_s for before, after in pairwise(found))
    assert not found or found[-1].end_s <= heard.size * FRAME_S


@given(probabilities, rules_of_every_kind)
@example(frames((1.0, 312), (0.9, 1), (1.0, 2), (0.0, 40)), SpanRules(longest_s=LONGEST_S, pad_before_s=0.0, pad_after_s=0.0))
def test_speech_that_is_long_enough_is_all_in_spans(heard: Samples, rules: SpanRules) -> None:
    found = speech_spans(heard, rules)
    loud = np.flatnonzero(np.diff(np.concatenate([[False], heard >= rules.threshold, [False]])))
    for first, end in loud.reshape(-1, 2):
        if (end - first) * FRAME_S >= rules.least_speech_s:
            for frame in range(first, end):
                middle_s = (frame + 0.5) * FRAME_S
                assert any(span.start_s < middle_s < span.end_s for span in found), frame


@given(probabilities, rules_of_every_kind)
@example(frames((1, 300), (0, 12), (1, 60)), SpanRules(longest_s=LONGEST_S, least_silence_s=0.6))  # cut in what turns out a pause
def test_what_goes_on_does_so_in_the_next_span_and_nothing_else_does(heard: Samples, rules: SpanRules) -> None:
    found = speech_spans(heard, rules)
    assert not found or not found[-1].goes_on
    for before, after in pairwise(found):
        if before.goes_on:
            assert after.start_s == before.end_s
            assert before.end_s - before.start_s >= rules.longest_s / 2 - 1
    assert not math.isinf(rules.longest_s) or not any(span.goes_on for span in found)


def test_of_equally_probable_frames_the_last_is_cut_at() -> None:
    first, _ = spans((1, 400), rules=SpanRules(longest_s=LONGEST_S))
    assert first[1] == pytest.approx(LONGEST_S, abs=RULES.pad_after_s + 2 * FRAME_S)


@given(probabilities, rules_of_every_kind, st.data())
def test_spans_do_not_depend_on_how_the_probabilities_come_in(heard: Samples, rules: SpanRules, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, heard.size), max_size=6)))
    finder = SpanFinder(rules)
    found = [span for piece in np.split(heard, cuts) for span in finder.push(piece)]
    assert (*found, *finder.finish()) == speech_spans(heard, rules)


@given(probabilities, rules_of_every_kind)
def test_no_later_span_begins_or_ends_before_the_settled_time(heard: Samples, rules: SpanRules) -> None:
    finder = SpanFinder(rules)
    settled_s = 0.0
    for probability in heard:
        check_after(settled_s, finder.push(np.array([probability])))
        assert finder.settled_s >= settled_s
        settled_s = finder.settled_s
    check_after(settled_s, finder.finish())


def check_after(settled_s: float, found: tuple[SpeechSpan, ...]) -> None:
    for span in found:
        assert span.start_s >= settled_s
        assert span.end_s >= settled_s


@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0)])
def test_a_span_that_does_not_run_forward_from_zero_is_refused(start_s: float, end_s: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        SpeechSpan(start_s=start_s, end_s=end_s)


def test_before_and_after_speech_may_be_kept_differently() -> None:
    (span,) = spans((0, 50), (1, 50), (0, 50), rules=SpanRules(pad_before_s=0.5, pad_after_s=0.1))
    assert (span[0], span[1]) == pytest.approx((50 * FRAME_S - 0.5, 100 * FRAME_S + 0.1))


@pytest.mark.parametrize(
    ("start_s", "end_s", "mean"),
    [
        (10.0, 10.0 + FRAME_S, 0.0),
        (10.0, 10.0 + 2 * FRAME_S, 0.5),
        (10.0 + FRAME_S, 10.0 + FRAME_S, 1.0),  # no time at all: the frame it lies in
        (10.0 + 1.5 * FRAME_S, 10.0 + 2.5 * FRAME_S, 0.75),  # two frames in part
        (0.0, 5.0, 0.0),  # before the track: its first frame
        (99.0, 100.0, 0.5),  # after it: its last
    ],
)
def test_a_voice_track_tells_the_mean_over_a_stretch(start_s: float, end_s: float, mean: float) -> None:
    track = VoiceTrack(10.0, np.array([0.0, 1.0, 0.5], np.float32))
    assert track.mean(start_s, end_s) == pytest.approx(mean)

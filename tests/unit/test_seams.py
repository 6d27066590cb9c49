"""Two transcripts of the same overlap become one in which every word is once and at its place."""

import random
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.seams import Joiner, joined
from app.domain.transcript import Token, Transcript

FRAME_S: Final = 0.08  # Parakeet's encoder
LONGEST_WORD_S: Final = 3.5  # that an overlap of four seconds keeps whole

Spoken = tuple[str, float, float]


def heard(words: list[Spoken], start_s: float, end_s: float, *, least_share: float = 0.5) -> Transcript:
    """Return what a window hears that is exact: of a word it cuts, what is left, if that is `least_share` of it or more."""
    pieces = [(text, max(first_s, start_s), min(last_s, end_s), last_s - first_s) for text, first_s, last_s in words]
    return said(*(piece[:3] for piece in pieces if piece[2] > piece[1] and piece[2] - piece[1] >= least_share * piece[3]))


def said(*words: Spoken) -> Transcript:
    return Transcript(tokens=tuple(Token(id=1, text=f" {text}", start_s=a, end_s=b, logprob=-0.5) for text, a, b in words))


def told(transcript: Transcript) -> list[Spoken]:
    return [(word.text, word.start_s, word.end_s) for word in transcript.words]


@st.composite
def monologues(draw: st.DrawFn) -> list[Spoken]:
    """Words of ten to twenty seconds, some long, some a mere 16 ms, close together or with gaps."""
    at, words = 0.0, list[Spoken]()
    gaps = st.sampled_from(draw(st.sampled_from([(0.0,), (0.0, 0.04, 0.5), (0.0, 0.0, 2.0)])))
    lengths = st.sampled_from([0.016, 0.2, 0.35, 0.7, 1.4, LONGEST_WORD_S])
    for length_s, gap_s in draw(st.lists(st.tuples(lengths, gaps), min_size=20, max_size=60)):
        words.append((f"w{len(words)}", at, at + length_s))
        at += length_s + gap_s
    return words


@given(monologues(), st.floats(2.0, 16.0), st.sampled_from([0.01, 0.5, 1.0]))
@settings(max_examples=100)
def test_whatever_the_seam_cuts_every_word_is_once_and_where_it_was(
    words: list[Spoken], start_s: float, least_share: float
) -> None:
    left = heard(words, 0.0, start_s + 4, least_share=least_share)
    right = heard(words, start_s, 1_000.0, least_share=least_share)
    assert told(joined(left, right, start_s=start_s, left_end_s=start_s + 4, right_end_s=100.0)) == words


@pytest.mark.parametrize("length_s", [0.1, 1.9, LONGEST_WORD_S])
def test_a_seam_may_fall_on_any_sample_of_a_word(length_s: float) -> None:
    words = [(f"w{i}", i * length_s, (i + 1) * length_s) for i in range(round(12 / length_s))]
    for i in range(0, round(length_s * 16_000), 31):
        start_s = 4.0 + i / 16_000
        left, right = heard(words, 0.0, start_s + 4), heard(words, start_s, 100.0)
        assert told(joined(left, right, start_s=start_s, left_end_s=start_s + 4, right_end_s=100.0)) == words, start_s


def jittered(transcript: Transcript, chance: random.Random, *, most_s: float) -> Transcript:
    """Move words as a recogniser does that counts in frames and is off by one or two of them; they stay in order."""
    tokens: list[Token] = []
    for token in transcript.tokens:
        start_s = max(0.0, token.start_s + chance.choice([-1, 0, 1]) * most_s, tokens[-1].start_s if tokens else 0.0)
        end_s = max(start_s, token.end_s + chance.choice([-1, 0, 1]) * most_s, tokens[-1].end_s if tokens else 0.0)
        tokens.append(Token(id=1, text=token.text, start_s=start_s, end_s=end_s, logprob=-0.5))
    return Transcript(tokens=tuple(tokens))


@given(st.integers(0, 10_000), st.sampled_from([FRAME_S, 2 * FRAME_S]), st.floats(3.0, 10.0))
@settings(max_examples=100)
def test_times_that_are_off_by_a_frame_or_two_lose_and_double_nothing(seed: int, most_s: float, start_s: float) -> None:
    chance = random.Random(seed)  # noqa: S311
    words, at = list[Spoken](), 0.0
    while at < 20:
        length_s = chance.choice([0.15, 0.25, 0.4, 0.8])
        words.append((f"w{len(words)}", at, at + length_s))
        at += length_s + chance.choice([0.0, 0.0, 0.0, 0.3])
    left, right = (jittered(heard(words, *window), chance, most_s=most_s) for window in ((0.0, start_s + 4), (start_s, 100.0)))
    found = joined(left, right, start_s=start_s, left_end_s=start_s + 4, right_end_s=100.0)
    assert found.text.split() == [text for text, _, _ in words]
    for before, after in pairwise(found.tokens):
        assert before.start_s <= after.start_s
        assert before.end_s <= after.end_s


def test_a_word_that_is_said_again_and_again_is_neither_lost_nor_doubled() -> None:
    words = [("no", 0.3 * i, 0.3 * i + 0.25) for i in range(40)]
    for i in range(100):
        start_s = 2.0 + i / 50
        left, right = heard(words, 0.0, start_s + 4), heard(words, start_s, 100.0)
        assert told(joined(left, right, start_s=start_s, left_end_s=start_s + 4, right_end_s=100.0)) == words


def test_they_pass_over_after_the_word_both_heard_nearest_to_the_middle() -> None:
    left = said(("one", 10.5, 10.9), ("two", 11.0, 11.5), ("three", 11.9, 12.2), ("for", 12.5, 12.8), ("fife", 13.0, 13.4))
    right = said(("won", 10.5, 10.9), ("too", 11.0, 11.5), ("three", 11.9, 12.2), ("four", 12.5, 12.8), ("five", 13.0, 13.4))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0).text == "one two three four five"


def test_where_they_agree_on_nothing_they_pass_over_between_words() -> None:
    left = said(("fourteen", 11.0, 11.6), ("sheep", 12.1, 12.7))
    right = said(("four", 11.0, 11.3), ("teen", 11.3, 11.6), ("ship", 12.1, 12.7), ("sailed", 14.2, 15.0))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0).text == "fourteen ship sailed"


def test_words_on_which_they_disagree_are_taken_whole_from_one_of_them() -> None:
    left = said(("fourteen", 11.6, 12.6))
    right = said(("four", 11.6, 11.95), ("teen", 11.95, 12.6))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0).text in ("fourteen", "four teen")


@pytest.mark.parametrize("left_off_s", [-1e-9, 0.0, 1e-9])
@pytest.mark.parametrize("right_off_s", [-1e-9, 0.0, 1e-9])
@pytest.mark.parametrize(("start_s", "end_s"), [(10.24, 10.9), (13.1, 13.76), (10.24, 13.76)])
def test_a_rounding_error_at_an_edge_neither_loses_nor_doubles_a_word(
    start_s: float, end_s: float, left_off_s: float, right_off_s: float
) -> None:
    left, right = (said(("word", start_s + off_s, end_s + off_s)) for off_s in (left_off_s, right_off_s))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0).text == "word"


def test_case_and_punctuation_do_not_keep_words_from_being_the_same() -> None:
    left = said(("the", 11.0, 11.3), ("dog", 11.9, 12.1))
    right = said(("The", 11.0, 11.3), ("Dog.", 11.9, 12.1), ("It", 14.5, 14.7))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0).text in ("the dog It", "the Dog. It")


def test_punctuation_comes_with_what_follows_it() -> None:
    def token(text: str, start_s: float, end_s: float) -> Token:
        return Token(id=1, text=text, start_s=start_s, end_s=end_s, logprob=-0.5)

    left = Transcript(
        tokens=(token(" the", 11.5, 11.7), token(" dog", 11.9, 12.1), token(",", 12.1, 12.1), token(" it", 12.5, 12.7))
    )
    right = Transcript(
        tokens=(token(" Dog", 11.9, 12.1), token(".", 12.1, 12.1), token(" It", 12.5, 12.7), token(" barks", 14.0, 14.4))
    )
    found = joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0)
    assert found.text in ("the dog. It barks", "the dog, it barks")
    assert found.text == "the dog. It barks"


@pytest.mark.parametrize(("left", "right"), [((), ()), ((("one", 10.5, 11.0),), ()), ((), (("one", 12.5, 13.0),))])
def test_what_only_one_of_them_heard_inside_is_kept_or_dropped_as_a_whole(
    left: tuple[Spoken, ...], right: tuple[Spoken, ...]
) -> None:
    assert joined(said(*left), said(*right), start_s=10.0, left_end_s=14.0, right_end_s=30.0) == said(*left, *right)


def test_what_is_left_of_a_cut_word_is_never_taken() -> None:
    left = said(("whole", 10.1, 11.0), ("ca", 13.6, 14.0))
    right = said(("hole", 10.1, 11.0), ("carpet", 13.6, 14.3))
    assert joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=30.0) == said(
        ("whole", 10.1, 11.0), ("carpet", 13.6, 14.3)
    )


@given(monologues(), st.integers(10, 60), st.floats(0.1, 2.0), st.sampled_from([0.01, 0.5, 1.0]))
def test_at_the_files_end_both_windows_end_and_every_word_is_there(
    words: list[Spoken], last: int, after_cut_s: float, least_share: float
) -> None:
    words = words[:last]
    end_s = words[-1][2]
    start_s = max(0.0, end_s - 2.0 - after_cut_s)
    left, right = (heard(words, first_s, end_s, least_share=least_share) for first_s in (0.0, start_s))
    assert told(joined(left, right, start_s=start_s, left_end_s=end_s, right_end_s=end_s)) == words


def test_what_the_left_window_heard_after_the_right_ones_end_is_left_to_a_later_one() -> None:
    left = said(("one", 10.5, 11.0), ("two", 11.5, 12.0), ("three", 13.0, 13.6), ("fo", 13.7, 14.0))
    right = said(("two", 11.5, 12.0))
    found = joined(left, right, start_s=10.0, left_end_s=14.0, right_end_s=12.3)
    assert found == said(("one", 10.5, 11.0), ("two", 11.5, 12.0))


def test_a_window_is_final_only_up_to_where_the_next_one_begins() -> None:
    joiner = Joiner()
    first = joiner.add(said(("a", 1.0, 2.0), ("b", 25.9, 26.5), ("c", 27.9, 28.3)), start_s=0.0, end_s=30.0, next_start_s=26.0)
    assert first == said(("a", 1.0, 2.0))
    second = joiner.add(said(("c", 27.9, 28.3), ("d", 30.0, 31.0)), start_s=26.0, end_s=40.0, next_start_s=None)
    assert second == said(("b", 25.9, 26.5), ("c", 27.9, 28.3), ("d", 30.0, 31.0))
    assert joiner.finish() == Transcript()


def test_what_was_held_back_is_not_lost_if_the_next_window_does_not_come_or_begins_later() -> None:
    for after in ([], [said(("d", 50.0, 51.0))]):
        joiner = Joiner()
        found = [joiner.add(said(("b", 27.0, 28.0)), start_s=0.0, end_s=30.0, next_start_s=26.0)]
        found += [joiner.add(part, start_s=50.0, end_s=60.0, next_start_s=None) for part in after]
        found.append(joiner.finish())
        assert [word for part in found for word in told(part)] == [
            ("b", 27.0, 28.0),
            *(word for part in after for word in told(part)),
        ]


def test_without_an_overlap_a_window_is_final_as_it_is() -> None:
    odd = Transcript(
        tokens=(
            Token(id=1, text="He", start_s=1.0, end_s=1.2, logprob=-0.5),
            Token(id=2, text=" ", start_s=1.3, end_s=1.3, logprob=-0.5),
        )
    )
    assert Joiner().add(odd, start_s=0.0, end_s=30.0, next_start_s=None) == odd

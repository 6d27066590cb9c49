"""Words, segments and characters follow from tokens, whatever the tokens are."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.transcript import SEGMENT_PAUSE_S, Segment, Token, Transcript, join, text_of, words_of

STEP_S = 0.08  # what Parakeet's encoder counts in


def token(text: str, start_s: float, end_s: float, logprob: float = -0.5) -> Token:
    return Token(id=1, text=text, start_s=start_s, end_s=end_s, logprob=logprob)


def transcript(*pieces: tuple[str, float, float]) -> Transcript:
    return Transcript(tokens=tuple(token(*piece) for piece in pieces))


_WORDS = st.tuples(  # steps of silence before it, its sounded pieces, its punctuation, how long each piece lasts
    st.sampled_from((0, 0, 1, 3, 25, 26, 40)),
    st.sampled_from((("a",), ("I'", "m"), ("un", "der", "stood"), ("3",), ("Xy", "é"))),
    st.sampled_from(((), (), (".",), ("?",), (",",), ("!", '"'))),
    st.integers(0, 4),
    st.sampled_from((0.0, -0.125, -7.5)),
)


def _transcript_of(words: list[tuple[int, tuple[str, ...], tuple[str, ...], int, float]]) -> Transcript:
    tokens: list[Token] = []
    step = 0
    for silent_steps, sounded, marks, steps, logprob in words:
        step += silent_steps
        for i, piece in enumerate(sounded + marks):
            tokens.append(token(piece if i else f" {piece}", step * STEP_S, (step + steps) * STEP_S, logprob))
            step += steps
    return Transcript(tokens=tuple(tokens))


def transcripts() -> st.SearchStrategy[Transcript]:
    """Words of one to three sounded pieces, some with punctuation that lasts, as models write it; times never run back."""
    return st.lists(_WORDS, max_size=8).map(_transcript_of)


@given(transcripts())
def test_words_joined_by_spaces_are_the_text(said: Transcript) -> None:
    assert " ".join(word.text for word in said.words) == said.text


@given(transcripts())
def test_segments_hold_every_token_once_and_in_order(said: Transcript) -> None:
    segments = said.segments
    assert tuple(itertools.chain.from_iterable(segment.tokens for segment in segments)) == said.tokens
    assert tuple(itertools.chain.from_iterable(segment.words for segment in segments)) == said.words
    assert " ".join(segment.text for segment in segments) == said.text
    assert all(segment.text for segment in segments)


@given(transcripts())
def test_a_segment_ends_with_its_sentence_or_before_a_pause_and_nowhere_else(said: Transcript) -> None:
    segments = said.segments
    for before, after in itertools.pairwise(segments):
        assert before.text[-1] in ".?!" or after.words[0].start_s - before.words[-1].end_s > SEGMENT_PAUSE_S
    for segment in segments:
        for word, following in itertools.pairwise(segment.words):
            assert word.text[-1] not in ".?!"
            assert following.start_s - word.end_s <= SEGMENT_PAUSE_S


@given(transcripts())
def test_characters_are_the_text_without_its_spaces(said: Transcript) -> None:
    characters = said.characters
    assert "".join(character.text for character in characters) == said.text.replace(" ", "")
    for before, after in itertools.pairwise(characters):
        assert before.start_s <= after.start_s + 1e-9
    for character in characters:
        assert character.start_s <= character.end_s


@given(transcripts())
def test_times_of_words_and_segments_lie_within_their_tokens(said: Transcript) -> None:
    for segment in said.segments:
        first, last = segment.tokens[0], segment.tokens[-1]
        assert first.start_s <= segment.start_s <= segment.end_s <= last.end_s
        assert all(segment.start_s <= word.start_s <= word.end_s <= segment.end_s for word in segment.words)
    assert all(word.logprob <= 0 for word in said.words)


@given(transcripts(), st.floats(0, 14_400))
def test_shifting_moves_every_time_and_nothing_else(said: Transcript, by_s: float) -> None:
    moved = said.shifted(by_s)
    assert moved.text == said.text
    for before, after in zip(said.tokens, moved.tokens, strict=True):
        assert msgspec.structs.replace(after, start_s=before.start_s, end_s=before.end_s) == before
        assert (after.start_s, after.end_s) == (before.start_s + by_s, before.end_s + by_s)


@given(st.lists(transcripts(), max_size=4))
def test_joining_keeps_every_word_of_every_part(parts: list[Transcript]) -> None:
    joined = join(parts)
    assert joined.words == tuple(itertools.chain.from_iterable(part.words for part in parts))
    assert joined.text == " ".join(part.text for part in parts if part.tokens)


@given(transcripts())
def test_a_transcript_can_be_sent_as_json(said: Transcript) -> None:
    assert msgspec.json.decode(msgspec.json.encode(said), type=Transcript) == said


def test_no_token_means_that_nothing_was_said() -> None:
    nothing = Transcript()
    assert (nothing.text, nothing.words, nothing.segments, nothing.characters) == ("", (), (), ())
    assert nothing.shifted(3.0) == nothing == join([]) == join([nothing, nothing])
    assert text_of(()) == ""
    assert words_of(()) == ()


def test_pieces_without_a_space_belong_to_the_word_before() -> None:
    (first, second) = transcript((" un", 0.0, 0.2), ("believ", 0.2, 0.4), ("able", 0.5, 0.7), (" end", 0.8, 1.0)).words
    assert (first.text, first.start_s, first.end_s) == ("unbelievable", 0.0, 0.7)
    assert (second.text, second.start_s, second.end_s) == ("end", 0.8, 1.0)


def test_a_first_piece_without_a_space_still_begins_a_word() -> None:
    assert [word.text for word in transcript(("He", 0.0, 0.1), ("llo", 0.1, 0.2), (" you", 0.3, 0.4)).words] == ["Hello", "you"]


def test_punctuation_never_moves_the_end_of_its_word_or_segment() -> None:
    said = transcript((" Well", 0.0, 0.4), (",", 0.4, 1.5), (" yes", 1.6, 2.0), (".", 2.0, 3.0))
    assert [(word.text, word.end_s) for word in said.words] == [("Well,", 0.4), ("yes.", 2.0)]
    assert [segment.end_s for segment in said.segments] == [2.0]


def test_a_word_has_a_longest_time_however_far_apart_its_pieces_are() -> None:
    said = transcript((" un", 1.0, 1.2), ("seen", 40.0, 40.3), (" end", 40.4, 40.8))
    assert [(word.text, word.start_s, word.end_s) for word in said.words] == [("unseen", 1.0, 8.0), ("end", 40.4, 40.8)]
    assert [segment.text for segment in said.segments] == ["unseen", "end"]


def test_punctuation_before_a_word_never_moves_its_start() -> None:
    (word,) = transcript((' "', 0.0, 0.1), ("Yes", 0.8, 1.0), ('"', 1.0, 1.4)).words
    assert (word.text, word.start_s, word.end_s) == ('"Yes"', 0.8, 1.0)


def test_punctuation_alone_is_a_word_at_its_own_time() -> None:
    (word,) = transcript((" -", 0.5, 0.6), ("-", 0.6, 0.9)).words
    assert (word.text, word.start_s, word.end_s) == ("--", 0.5, 0.6)


def test_a_space_on_its_own_begins_the_word_that_follows() -> None:
    said = transcript((" ", 0.0, 0.1), ("Hello", 0.2, 0.5), (" ", 0.6, 0.6), ("you", 0.7, 0.9))
    assert said.text == "Hello you"
    assert [(word.text, word.start_s, word.end_s) for word in said.words] == [("Hello", 0.2, 0.5), ("you", 0.7, 0.9)]


def test_a_word_is_as_sure_as_the_mean_of_its_pieces() -> None:
    (word,) = words_of([token(" a", 0.0, 0.1, -1.0), token("b", 0.1, 0.2, -2.0), token(".", 0.2, 0.2, -3.0)])
    assert word.logprob == pytest.approx(-2.0)


@pytest.mark.parametrize(("pause_s", "n_segments"), [(0.0, 1), (SEGMENT_PAUSE_S, 1), (SEGMENT_PAUSE_S + 0.01, 2)])
def test_only_a_longer_pause_ends_a_segment_in_mid_sentence(pause_s: float, n_segments: int) -> None:
    assert len(transcript((" one", 0.0, 1.0), (" two", 1.0 + pause_s, 4.0)).segments) == n_segments


def test_a_pause_is_counted_from_the_last_sound_not_from_the_comma() -> None:
    said = transcript((" so", 0.0, 0.5), (",", 0.5, 2.6), (" well", 2.7, 3.0))
    assert [segment.text for segment in said.segments] == ["so,", "well"]


@pytest.mark.parametrize("mark", [".", "?", "!"])
def test_a_sentence_ends_a_segment_without_any_pause(mark: str) -> None:
    said = transcript((" Go", 0.0, 0.5), (mark, 0.5, 0.5), (" Now", 0.5, 0.9))
    assert [segment.text for segment in said.segments] == [f"Go{mark}", "Now"]


def test_a_point_inside_a_word_ends_nothing() -> None:
    said = transcript((" 3", 0.0, 0.2), (".", 0.2, 0.3), ("5", 0.3, 0.5), (" miles", 0.5, 0.9))
    assert [segment.text for segment in said.segments] == ["3.5 miles"]


def test_the_characters_of_a_piece_share_its_time_evenly() -> None:
    found = transcript((" abcd", 1.0, 2.0)).characters
    assert [(c.text, c.start_s, c.end_s) for c in found] == [("a", 1.0, 1.25), ("b", 1.25, 1.5), ("c", 1.5, 1.75), ("d", 1.75, 2.0)]


def test_a_word_never_runs_across_a_joint() -> None:
    joined = join([transcript((" over", 0.0, 0.5)), Transcript(), transcript(("all", 0.6, 0.9), ("ways", 0.9, 1.2))])
    assert [word.text for word in joined.words] == ["over", "allways"]


def test_a_segment_begins_where_its_first_token_does() -> None:
    segment = Segment(tokens=(token(" Yes", 0.5, 0.8), token(".", 0.8, 1.0)))
    assert (segment.text, segment.start_s, segment.end_s) == ("Yes.", 0.5, 0.8)

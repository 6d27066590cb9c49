"""What is told of an utterance while it is spoken."""

from time import perf_counter

from app.domain.seams import heard_words, transcript_of
from app.domain.transcript import Transcript, opening
from app.domain.utterance import Utterance
from app.testing.recognizers import spoken_evenly

WORDS = heard_words(spoken_evenly("One sentence of some words, and another. " * 3_000, duration_s=7_200.0))


def test_what_is_told_bit_by_bit_is_what_is_told_at_once() -> None:
    utterance, told, fresh = Utterance(number=1, start=0, window_start=0), Transcript(), list[str]()
    for n_words in (0, 1, 2, 7, 8):
        utterance.settle(WORDS[len(utterance.settled) : n_words])
        utterance.tentative = WORDS[n_words : n_words + 3]
        told, new, rest = utterance.told()
        fresh += [token.text for token in new.tokens]
        assert told == opening(transcript_of(WORDS[:n_words]))
        assert Transcript(tokens=told.tokens + rest.tokens) == opening(transcript_of(WORDS[: n_words + 3]))
    assert "".join(fresh) == told.text


def test_hours_without_a_commit_cost_no_more_to_tell_than_what_is_new() -> None:
    utterance = Utterance(number=1, start=0, window_start=0)
    utterance.settle(WORDS[:-1])
    began_s = perf_counter()
    utterance.told()
    all_s = perf_counter() - began_s
    utterance.settle(WORDS[-1:])
    began_s = perf_counter()
    told, fresh, _ = utterance.told()
    assert perf_counter() - began_s < all_s / 5
    assert (len(told.words), len(fresh.words)) == (len(WORDS), 1)

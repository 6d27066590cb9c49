"""What is told of an utterance while it is spoken."""

import sys
from collections.abc import Callable

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


def calls_made(work: Callable[[], object]) -> int:
    """How many functions `work` has called, C's among them: what it costs, on any machine."""
    made: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: made.append(event))
    try:
        work()
    finally:
        sys.setprofile(None)
    return sum(event in {"call", "c_call"} for event in made)


def test_hours_without_a_commit_cost_no_more_to_tell_than_what_is_new() -> None:
    utterance = Utterance(number=1, start=0, window_start=0)
    utterance.settle(WORDS[:-1])
    assert calls_made(utterance.told) > len(WORDS)
    utterance.settle(WORDS[-1:])
    assert calls_made(utterance.told) < len(WORDS) / 100
    assert len(utterance.told()[0].words) == len(WORDS)

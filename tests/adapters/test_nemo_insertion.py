"""What of a steered text is taken over: whole keywords the sound bears out, and nothing else."""

import pytest

from app.adapters.nemo.insertion import with_keywords
from app.domain.transcript import Token, Transcript


def said(text: str, *, logprob: float = -0.5, at_s: tuple[float, ...] | None = None) -> Transcript:
    """A word each half second, its last mark a token of its own without a sound."""
    tokens: list[Token] = []
    for i, word in enumerate(text.split()):
        start_s = 0.5 * i if at_s is None else at_s[i]
        bare = word.rstrip(".,?")
        pieces = [(f" {bare}", 0.4), *((mark, 0.0) for mark in word[len(bare) :])]
        for piece, lasts_s in pieces:
            begin_s = start_s if lasts_s else start_s + 0.4
            tokens.append(Token(id=1, text=piece, start_s=begin_s, end_s=begin_s + lasts_s, logprob=logprob))
    return Transcript(tokens=tuple(tokens))


def test_a_keyword_takes_the_place_of_what_sounded_then_and_leaves_its_marks() -> None:
    plain, steered = said("We saw the kennel by hour."), said("We saw the canal by")
    assert with_keywords(plain, steered, ["canal"]).text == "We saw the canal by hour."
    assert with_keywords(said("Go to pairs, now."), said("Go to Paris now"), ["Paris"]).text == "Go to Paris, now."


def test_a_keyword_takes_the_place_of_several_words_and_several_of_one() -> None:
    plain = said("Up kill a man jar oh fast.", at_s=(0.0, 0.5, 0.7, 0.9, 1.1, 1.3, 2.0))
    steered = said("Up Kilimanjaro fast.", at_s=(0.0, 0.9, 2.0))
    lasting = Transcript(
        tokens=tuple(
            Token(id=t.id, text=t.text, start_s=0.5 if "Kili" in t.text else t.start_s, end_s=1.75 if "Kili" in t.text else t.end_s,
                  logprob=t.logprob)
            for t in steered.tokens
        )
    )  # fmt: skip
    assert with_keywords(plain, lasting, ["Kilimanjaro"]).text == "Up Kilimanjaro fast."
    assert with_keywords(said("In you dark."), said("In New York."), ["New York"]).text == "In New York."


def test_what_steering_bends_beside_its_keywords_is_not_taken_over() -> None:
    plain, steered = said("The parking lot was full."), said("The parliam lot is full")
    assert with_keywords(plain, steered, ["parliament"]) == plain
    assert with_keywords(plain, said("A barking lot was fool"), ["lot"]) == plain


def test_a_keyword_the_model_doubts_is_not_taken_over() -> None:
    plain = said("A blue car.", logprob=-0.1)
    assert with_keywords(plain, said("A blueberry car.", logprob=-2.0), ["blueberry"]).text == "A blueberry car."
    assert with_keywords(plain, said("A blueberry car.", logprob=-3.0), ["blueberry"]) == plain


def test_a_keyword_where_nothing_was_written_is_put_in() -> None:
    plain = said("We met in May.", at_s=(0.0, 0.5, 1.0, 3.0))
    steered = said("We met in Oslo May.", at_s=(0.0, 0.5, 1.0, 2.0, 3.0))
    assert with_keywords(plain, steered, ["Oslo"]).text == "We met in Oslo May."


@pytest.mark.parametrize("keywords", [[], ["never"], [" "], ["We saw the whole of it and more"]])
def test_without_a_keyword_in_it_nothing_changes(keywords: list[str]) -> None:
    plain = said("We saw it.")
    assert with_keywords(plain, said("We sold it."), keywords) == plain


def test_times_never_run_back() -> None:
    plain = said("One two three four.")
    steered = said("One two tree four.", at_s=(0.0, 0.45, 0.85, 1.9))
    found = with_keywords(plain, steered, ["tree"])
    assert found.text == "One two tree four."
    starts = [token.start_s for token in found.tokens]
    ends = [token.end_s for token in found.tokens]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(token.start_s <= token.end_s for token in found.tokens)

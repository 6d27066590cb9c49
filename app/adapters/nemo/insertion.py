"""Which of the keywords that steering brought out are taken over into what the model wrote by itself.

Steering far enough to mend a mistaken word also bends words that were right, mostly into beginnings of a keyword that then goes
on as something else. So a clip with keywords is decoded twice from the same encoding, once steered and once not, and the steered
text gives its whole keywords alone: where one stands, it takes the place of the words that sounded then, if the model finds
its pieces not much less likely than theirs.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from ...domain.transcript import Token, Transcript, Word, grouped, sounds, word_of

_MOST_DOUBT: Final = 2.5  # nats a piece by which a keyword may be less likely than what it replaces; see training/README.md
_MARKS: Final = ".,;:!?\"'()"  # at a word's edges they belong to the sentence


class _Spoken(NamedTuple):
    word: Word
    tokens: tuple[Token, ...]

    @property
    def middle_s(self) -> float:
        return (self.word.start_s + self.word.end_s) / 2


def with_keywords(plain: Transcript, steered: Transcript, keywords: Sequence[str]) -> Transcript:
    """Return `plain` with the keywords of `steered` that hold; both are of the same clip."""
    written = _words(plain)
    for brought in _occurrences(_words(steered), [tuple(keyword.split()) for keyword in keywords]):
        begin_s, end_s = brought[0].word.start_s, brought[-1].word.end_s
        first = sum(one.middle_s < begin_s for one in written)
        after = sum(one.middle_s <= end_s for one in written)
        replaced = written[first:after]
        if _names(replaced) != _names(brought) and _mean_logprob(replaced) - _mean_logprob(brought) <= _MOST_DOUBT:
            written[first:after] = _punctuated(brought, replaced)
    return Transcript(tokens=tuple(_in_order(token for one in written for token in one.tokens)))


def _words(transcript: Transcript) -> list[_Spoken]:
    return [_Spoken(word_of(tokens), tuple(tokens)) for tokens in grouped(transcript.tokens)]


def _names(words: Sequence[_Spoken]) -> tuple[str, ...]:
    return tuple(one.word.text.strip(_MARKS) for one in words)


def _occurrences(words: Sequence[_Spoken], keywords: Sequence[tuple[str, ...]]) -> Iterator[Sequence[_Spoken]]:
    names, i = _names(words), 0
    by_length = sorted(keywords, key=len, reverse=True)
    while i < len(words):
        found = next((keyword for keyword in by_length if keyword and names[i : i + len(keyword)] == keyword), ())
        if found:
            yield words[i : i + len(found)]
        i += max(1, len(found))


def _mean_logprob(words: Sequence[_Spoken]) -> float:
    """Mean over the pieces; of no words 0.0, as if the model had been certain that nothing was said."""
    tokens = [token for one in words for token in one.tokens]
    return sum(token.logprob for token in tokens) / max(1, len(tokens))


def _punctuated(brought: Sequence[_Spoken], replaced: Sequence[_Spoken]) -> list[_Spoken]:
    """Return what was brought, ending with the marks of what it replaces: those belong to the sentence."""
    if not replaced:
        return list(brought)
    *rest, last = brought
    tokens = (*last.tokens[: _n_sounded(last.tokens)], *replaced[-1].tokens[_n_sounded(replaced[-1].tokens) :])
    return [*rest, _Spoken(word_of(tokens), tokens)]


def _n_sounded(tokens: Sequence[Token]) -> int:
    return max((i + 1 for i, token in enumerate(tokens) if sounds(token)), default=0)


def _in_order(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield tokens of two decodes so that no time runs back."""
    start_s = end_s = 0.0
    for token in tokens:
        start_s = max(start_s, token.start_s)
        end_s = max(end_s, start_s, token.end_s)
        yield replace(token, start_s=start_s, end_s=end_s)

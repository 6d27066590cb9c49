"""Where two windows overlap: which words are taken from which, so that none is lost, doubled or half heard.

Both windows heard the overlap, but each hears badly at its own edge: the left one at the overlap's end, the right one at its
start. Words that end, or begin, within `_EDGE_S` of it may be what is left of longer ones, and the neighbour heard those whole as
long as they are shorter than the overlap by twice as much. So no such word counts.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from .transcript import Token, Transcript, Word, following, grouped, sounds, word_of

_EDGE_S: Final = 0.24  # three frames of Parakeet's encoder
_NEAR_S: Final = 0.35  # the same word is told at times this near: each window may be off by two frames
_ROUNDING_S: Final = 1e-6
_RECENT_WORDS: Final = 8  # of what was said, that a later hypothesis is matched with; chosen
_SPLIT_COST: Final = 20.0  # splitting a word by 0.1 s is as bad as passing over two seconds from the middle


_Pairing = tuple[int, float, list[tuple[int, int]]]  # how many pairs, minus how far apart they are in all, which


class HeardWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word as one of the windows heard it, or one hypothesis of several."""

    tokens: tuple[Token, ...]
    word: Word
    name: str  # without case and punctuation

    @property
    def middle_s(self) -> float:
        return (self.word.start_s + self.word.end_s) / 2


class Joiner:
    """Joins the transcripts of a file's windows as they come in; what a later window may still correct is held back."""

    def __init__(self) -> None:
        self._tail = Transcript()
        self._tail_end_s = 0.0

    def add(self, said: Transcript, *, start_s: float, end_s: float, next_start_s: float | None) -> Transcript:
        """Take what was said in the next window, and return what is final now.

        Args:
            said: Times on the file's clock.
            start_s: Where the window begins.
            end_s: Where it ends.
            next_start_s: Where the next one begins, if that is before `end_s`.
        """
        if start_s < self._tail_end_s:
            said = joined(self._tail, said, start_s=start_s, left_end_s=self._tail_end_s, right_end_s=end_s)
        elif self._tail.tokens:
            said = Transcript(tokens=(*self._tail.tokens, *following(said).tokens))
        self._tail, self._tail_end_s = Transcript(), 0.0
        if next_start_s is None:
            return said
        words = heard_words(said)
        n_final = next((i for i, heard in enumerate(words) if heard.word.end_s > next_start_s), len(words))
        self._tail, self._tail_end_s = transcript_of(words[n_final:]), end_s
        return transcript_of(words[:n_final])

    def finish(self) -> Transcript:
        """Return what was held back for a window that did not come."""
        return self._tail


def joined(left: Transcript, right: Transcript, *, start_s: float, left_end_s: float, right_end_s: float) -> Transcript:
    """Pass over from one window to the next, which overlap from `start_s` to where the first of them ends.

    They pass over after a word that both heard, the one nearest to the middle. If there is none, they pass over where words of
    neither are split, and nearest to the middle. Times never run back, even if the two disagree about them.

    Args:
        left: What the left window heard, times on the file's clock; what it heard before `start_s` may be missing.
        right: What the right one heard. If it ends before the left one, nothing is said from there on that no later window hears.
    """
    end_s = min(left_end_s, right_end_s)
    begins_s = start_s + _EDGE_S - _ROUNDING_S  # words that begin earlier, the right window did not hear whole
    ends_s = left_end_s - _EDGE_S + _ROUNDING_S if right_end_s > left_end_s else math.inf  # that end later: nor the left one
    before = [one for one in heard_words(left) if one.word.end_s <= ends_s]
    after = [one for one in heard_words(right) if one.word.start_s >= begins_s]
    n_left = sum(one.word.start_s < begins_s for one in before)  # the first ones, that only the left heard whole
    n_right = sum(one.word.end_s > ends_s for one in after)  # the last ones, that only the right did
    left_of_both, right_of_both = before[n_left:], after[: len(after) - n_right]
    middle_s = (start_s + end_s) / 2
    if agreed := _agreed(left_of_both, right_of_both):
        i, j = min(agreed, key=lambda pair: abs(left_of_both[pair[0]].middle_s - middle_s))
        return transcript_of([*before[: n_left + i], _ended(left_of_both[i], after[j]), *after[j + 1 :]])
    earliest_s = max((one.word.end_s for one in before[:n_left]), default=start_s)
    latest_s = min((one.word.start_s for one in after[len(right_of_both) :]), default=end_s)
    pass_s = _parting(left_of_both + right_of_both, earliest_s, latest_s, middle_s)
    return transcript_of([one for one in before if one.middle_s < pass_s] + [one for one in after if one.middle_s >= pass_s])


def continuing(said: Sequence[HeardWord], hypothesis: Sequence[HeardWord]) -> list[HeardWord]:
    """Return the words of a later hypothesis that come after what was said already, of which it may hold the last part again.

    The last of the words that both have tells where; if they do not agree about the last one, time does.
    """
    if not said:
        return list(hypothesis)
    recent, last_end_s = said[-_RECENT_WORDS:], said[-1].word.end_s
    i, j = (_agreed(recent, hypothesis) or [(-1, -1)])[-1]
    return [one for one in hypothesis[j + 1 :] if i == len(recent) - 1 or one.middle_s > last_end_s]


def heard_words(said: Transcript) -> list[HeardWord]:
    """Return the words of a transcript with the tokens they are made of."""
    words = [(tuple(group), word_of(group)) for group in grouped(said.tokens)]
    return [HeardWord(tokens=tokens, word=word, name="".join(filter(str.isalnum, word.text.casefold()))) for tokens, word in words]


def _agreed(left: Sequence[HeardWord], right: Sequence[HeardWord]) -> list[tuple[int, int]]:
    """Pair words of the same name at near times, in order: as many as can be, and of those the nearest (dynamic programming).

    Returns:
        Of each pair the index into `left` and the one into `right`.
    """
    below: list[_Pairing] = [(0, 0.0, [])] * (len(right) + 1)
    for i, mine in reversed(list(enumerate(left))):
        row: list[_Pairing] = [(0, 0.0, [])] * (len(right) + 1)
        for j, other in reversed(list(enumerate(right))):
            options = [below[j], row[j + 1]]
            off_s = abs(mine.middle_s - other.middle_s)
            if mine.name and mine.name == other.name and off_s <= _NEAR_S:
                n_pairs, nearness_s, pairs = below[j + 1]
                options.append((n_pairs + 1, nearness_s - off_s, [(i, j), *pairs]))
            row[j] = max(options, key=lambda option: option[:2])
        below = row
    return below[0][2]


def _ended(left: HeardWord, right: HeardWord) -> HeardWord:
    """Return the left word with the right one's punctuation: that belongs to what follows, as the word does to what precedes."""
    n_left, n_right = (max((i + 1 for i, token in enumerate(heard.tokens) if sounds(token)), default=0) for heard in (left, right))
    return msgspec.structs.replace(left, tokens=(*left.tokens[:n_left], *right.tokens[n_right:]))


def _parting(words: Sequence[HeardWord], earliest_s: float, latest_s: float, middle_s: float) -> float:
    """Return the time within [earliest_s, latest_s] that splits the words least, and is near to the middle."""
    if earliest_s >= latest_s:
        return (earliest_s + latest_s) / 2
    edges_s = [time_s for heard in words for time_s in (heard.word.start_s, heard.word.end_s)]
    times_s = [min(max(time_s, earliest_s), latest_s) for time_s in (middle_s, *edges_s)]

    def cost(time_s: float) -> float:
        split_s = sum(max(0.0, min(time_s - heard.word.start_s, heard.word.end_s - time_s)) for heard in words)
        return _SPLIT_COST * split_s + abs(time_s - middle_s)

    return min(times_s, key=cost)


def transcript_of(words: Sequence[HeardWord]) -> Transcript:
    """Put words one after the other, so that no time runs back."""
    tokens: list[Token] = []
    write_on(tokens, words)
    return Transcript(tokens=tuple(tokens))


def write_on(tokens: list[Token], words: Sequence[HeardWord]) -> None:
    """Add the tokens of words to those before, so that no time runs back."""
    for heard in words:
        for token in following(Transcript(tokens=heard.tokens)).tokens if tokens else heard.tokens:
            last = tokens[-1] if tokens else token
            start_s = max(token.start_s, last.start_s)
            tokens.append(msgspec.structs.replace(token, start_s=start_s, end_s=max(token.end_s, last.end_s, start_s)))

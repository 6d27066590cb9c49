"""What was said and when. Tokens come from the recogniser; words, segments and characters are derived from them here."""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

SEGMENT_PAUSE_S: Final = 2.0  # silence between words that ends a segment though no sentence ended; chosen by ear
LONGEST_WORD_S: Final = 7.0  # nobody speaks so long at one word: pieces further apart are an error of the model
_SENTENCE_ENDS: Final = (".", "?", "!")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of text as the model wrote it; `text` has a leading space where a word starts. Times in seconds."""

    id: int
    text: str
    start_s: float
    end_s: float
    logprob: float  # natural logarithm of the probability the model gave this piece: <= 0


class Character(msgspec.Struct, frozen=True, kw_only=True):
    """One character; its piece's time is divided evenly among the piece's characters."""

    text: str
    start_s: float
    end_s: float


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Text between spaces, punctuation included; it ends with its last sounded piece, `LONGEST_WORD_S` after its start at most."""

    text: str
    start_s: float
    end_s: float
    logprob: float  # mean over its pieces


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, or what was said before a long pause; never empty."""

    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        return text_of(self.tokens)

    @property
    def words(self) -> tuple[Word, ...]:
        return words_of(self.tokens)

    @property
    def start_s(self) -> float:
        return self.tokens[0].start_s

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip, or one file, says: tokens in the order of time. No token means that nothing was said."""

    tokens: tuple[Token, ...] = ()

    @property
    def text(self) -> str:
        return text_of(self.tokens)

    @property
    def words(self) -> tuple[Word, ...]:
        return words_of(self.tokens)

    @property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(Segment(tokens=tuple(tokens)) for tokens in _sentences(self.tokens))

    @property
    def characters(self) -> tuple[Character, ...]:
        ends = [*(token.start_s for token in self.tokens[1:]), math.inf]  # a piece that shares its frame with the next ends there
        return tuple(
            character for token, end_s in zip(self.tokens, ends, strict=False) for character in _characters_of(token, end_s)
        )

    def shifted(self, by_s: float) -> "Transcript":
        """Return the same words `by_s` later."""
        return Transcript(
            tokens=tuple(
                msgspec.structs.replace(token, start_s=token.start_s + by_s, end_s=token.end_s + by_s) for token in self.tokens
            )
        )


def join(parts: Sequence[Transcript]) -> Transcript:
    """Put transcripts that follow one another in time into one; a word never runs across from one part to the next."""
    tokens: list[Token] = []
    for part in parts:
        tokens += following(part).tokens if tokens else part.tokens
    return Transcript(tokens=tuple(tokens))


def following(part: Transcript) -> Transcript:
    """Return `part` as it reads after another one: its first word begins with a space."""
    if not part.tokens or part.tokens[0].text.startswith(" "):
        return part
    return _beginning_with(f" {part.tokens[0].text}", part)


def opening(part: Transcript) -> Transcript:
    """Return `part` as it reads at the start: its tokens' texts joined are its text."""
    return _beginning_with(part.tokens[0].text.lstrip(), part) if part.tokens else part


def _beginning_with(text: str, part: Transcript) -> Transcript:
    return Transcript(tokens=(msgspec.structs.replace(part.tokens[0], text=text), *part.tokens[1:]))


def text_of(tokens: Sequence[Token]) -> str:
    """Return the tokens' text without the space before the first word."""
    return "".join(token.text for token in tokens).strip()


def words_of(tokens: Sequence[Token]) -> tuple[Word, ...]:
    """Group tokens into words at the spaces before them.

    Punctuation has no sound, whatever time the model gave it: it never moves the end of its word (NeMo's rule too).
    """
    return tuple(word_of(group) for group in grouped(tokens))


def grouped(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each word in turn."""
    group: list[Token] = []
    for token in tokens:
        if token.text.startswith(" ") and text_of(group):
            yield group
            group = []
        group.append(token)
    if text_of(group):
        yield group


def word_of(tokens: Sequence[Token]) -> Word:
    """Return the word that one group of tokens makes."""
    sounded = [token for token in tokens if sounds(token)] or tokens[:1]
    return Word(
        text=text_of(tokens),
        start_s=sounded[0].start_s,
        end_s=min(max(token.end_s for token in sounded), sounded[0].start_s + LONGEST_WORD_S),
        logprob=math.fsum(token.logprob for token in tokens) / len(tokens),
    )


def sounds(token: Token) -> bool:
    """Tell whether there is more in a token than punctuation and spaces."""
    return any(not unicodedata.category(character).startswith(("P", "Z")) for character in token.text)


def _sentences(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    last: Word | None = None
    for group in grouped(tokens):
        word = word_of(group)
        if last is not None and (last.text.endswith(_SENTENCE_ENDS) or word.start_s - last.end_s > SEGMENT_PAUSE_S):
            yield sentence
            sentence = []
        sentence += group
        last = word
    if sentence:
        yield sentence


def _characters_of(token: Token, latest_end_s: float) -> Iterator[Character]:
    text = token.text.strip()
    for i, character in enumerate(text):
        step_s = max(0.0, min(token.end_s, latest_end_s) - token.start_s) / len(text)
        yield Character(text=character, start_s=token.start_s + i * step_s, end_s=token.start_s + (i + 1) * step_s)

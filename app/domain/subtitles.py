"""Cues for subtitles: which words are shown together and when, and the two formats they are written in."""

import html
import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from .transcript import Transcript, Word

LINE_CHARACTERS: Final = 42  # on at most two lines, for at most seven seconds: Netflix's Timed Text Style Guide
CUE_LONGEST_MS: Final = 7_000
CUE_SHORTEST_MS: Final = 1_000
CUE_PAUSE_MS: Final = 1_000  # shorter gaps between cues look jerky (BBC Subtitle Guidelines, 4.5), longer ones hold a whole cue
_LINE_WIDTH: Final = LINE_CHARACTERS + 1  # widths count the space after each word
_CUE_WIDTH: Final = 2 * _LINE_WIDTH
_ARROW: Final = re.compile("-{2,}>")  # "--" too, as "--->" would otherwise leave one
_CLAUSE_ENDS: Final = (".", "?", "!", ",", ";", ":")
_CLAUSE_SHARE: Final = 0.3  # of a line or cue: how far from the middle a clause or a long pause may be to win; judged by eye


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """One or two lines on the screen from `start_ms` until `end_ms`, counted from the start of the audio."""

    lines: tuple[str, ...]
    start_ms: int
    end_ms: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _Piece(msgspec.Struct, frozen=True):
    """What is never broken: a word, or as much of one as fits on a line."""

    text: str
    start_ms: int
    end_ms: int


def cues_of(transcript: Transcript) -> tuple[Cue, ...]:
    """Cut a transcript into cues that follow one another, never overlap and hold every word once.

    A cue ends with its sentence, before a pause of `CUE_PAUSE_MS`, or where a sentence is too long for one cue. What is
    shorter than `CUE_SHORTEST_MS` joins the nearer neighbour that has room and no pause in between, or else takes free time
    after and then before it. A cue is shorter only where it has neither: cues (or second 0) on both sides touch it. None
    is longer than `CUE_LONGEST_MS`, whatever its words claim.
    """
    phrases = (phrase for segment in transcript.segments for phrase in _phrases(_pieces(segment.words)))
    groups = _joined([part for phrase in phrases for part in _parts(phrase)])
    cues: list[Cue] = []
    for group, following in itertools.zip_longest(groups, groups[1:]):
        free_ms = cues[-1].end_ms if cues else 0
        start_ms = max(group[0].start_ms, free_ms)
        end_ms = max(group[-1].end_ms, start_ms + CUE_SHORTEST_MS)
        if following:
            end_ms = max(start_ms + 1, min(end_ms, following[0].start_ms))  # where several are due at once, each has its moment
        start_ms = max(free_ms, min(start_ms, end_ms - CUE_SHORTEST_MS))
        cues.append(Cue(lines=_lines(group), start_ms=start_ms, end_ms=end_ms))
    return tuple(cues)


def srt_of(transcript: Transcript) -> str:
    """Write SubRip: numbered cues, a blank line after each; where nothing was said, nothing at all."""
    return "".join(f"{i}\n{_timing(cue, ',')}\n{cue.text}\n\n" for i, cue in enumerate(cues_of(transcript), 1))


def vtt_of(transcript: Transcript) -> str:
    """Write WebVTT; what could begin a tag or a character reference is escaped."""
    cues = (f"\n{_timing(cue, '.')}\n{html.escape(cue.text, quote=False)}\n" for cue in cues_of(transcript))
    return "WEBVTT\n" + "".join(cues)


def _timing(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}"


def _clock(at_ms: int, point: str) -> str:
    return f"{at_ms // 3_600_000:02}:{at_ms // 60_000 % 60:02}:{at_ms // 1_000 % 60:02}{point}{at_ms % 1_000:03}"


def _pieces(words: Sequence[Word]) -> Iterator[_Piece]:
    """A word's time is shared evenly by its pieces; of a longer word than a cue may last, the first seconds count."""
    for word in words:
        shown = "".join(c for c in word.text if c.isspace() or unicodedata.category(c) != "Cc")
        parts = _ARROW.sub("->", shown).split()
        texts = [part[i : i + LINE_CHARACTERS] for part in parts for i in range(0, len(part), LINE_CHARACTERS)]
        start_ms = round(word.start_s * 1_000)
        lasts_ms = min(round(word.end_s * 1_000) - start_ms, CUE_LONGEST_MS)
        for i, text in enumerate(texts):
            yield _Piece(text, start_ms + lasts_ms * i // len(texts), start_ms + lasts_ms * (i + 1) // len(texts))


def _phrases(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    phrase: list[_Piece] = []
    for piece in pieces:
        if phrase and piece.start_ms - phrase[-1].end_ms >= CUE_PAUSE_MS:
            yield phrase
            phrase = []
        phrase.append(piece)
    if phrase:
        yield phrase


def _parts(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Cut a phrase until each part fits into one cue."""
    if _fits(pieces):
        yield pieces
        return
    n_cues = max(2, math.ceil(_width(pieces) / _CUE_WIDTH), math.ceil(_lasts_ms(pieces) / CUE_LONGEST_MS))
    cut = _cut(pieces, n_cues, _CUE_WIDTH)
    yield from _parts(pieces[:cut])
    yield from _parts(pieces[cut:])


def _joined(groups: list[list[_Piece]]) -> list[list[_Piece]]:
    """Give what is too short for a cue to the nearer neighbour, or the shorter one, again and again, as long as one has room."""
    i = 0
    while i < len(groups):
        short = _lasts_ms(groups[i]) < CUE_SHORTEST_MS
        pairs = [j for j in (i - 1, i) if short and 0 <= j < len(groups) - 1 and _may_join(groups[j], groups[j + 1])]
        if pairs:
            i = min(pairs, key=lambda j: (_pause_ms(groups[j], groups[j + 1]), _lasts_ms(groups[j] + groups[j + 1])))
            groups[i : i + 2] = [groups[i] + groups[i + 1]]
        else:
            i += 1
    return groups


def _may_join(group: list[_Piece], following: list[_Piece]) -> bool:
    return _pause_ms(group, following) < CUE_PAUSE_MS and _fits(group + following)


def _fits(pieces: list[_Piece]) -> bool:
    return _lasts_ms(pieces) <= CUE_LONGEST_MS and all(len(line) <= LINE_CHARACTERS for line in _lines(pieces))


def _lines(pieces: list[_Piece]) -> tuple[str, ...]:
    """One line if all fits on it, else two; where even they are too short, a line comes out too long."""
    cut = len(pieces) if _width(pieces) <= _LINE_WIDTH else _cut(pieces, 2, _LINE_WIDTH)
    return tuple(" ".join(piece.text for piece in line) for line in (pieces[:cut], pieces[cut:]) if line)


def _cut(pieces: list[_Piece], n_parts: int, part_width: int) -> int:
    """Return where to cut so that the first half of `n_parts` equal parts comes before: best after a clause or a pause.

    Both sides fit into their parts, in width and in time, wherever any cut allows it.
    """
    widths = list(itertools.accumulate(len(piece.text) + 1 for piece in pieces))
    n_before, n_after = n_parts // 2, n_parts - n_parts // 2

    def cost(i: int) -> tuple[bool, float]:
        before, after = pieces[i - 1], pieces[i]
        wide = max(widths[i - 1] / n_before, (widths[-1] - widths[i - 1]) / n_after) > part_width
        long = max((before.end_ms - pieces[0].start_ms) / n_before, (pieces[-1].end_ms - after.start_ms) / n_after) > CUE_LONGEST_MS
        off = abs(widths[i - 1] * n_parts / widths[-1] - n_before)
        pause = (after.start_ms - before.end_ms) / CUE_PAUSE_MS
        return wide or long, off - _CLAUSE_SHARE * (before.text.endswith(_CLAUSE_ENDS) + pause)

    return min(range(1, len(pieces)), key=cost)


def _width(pieces: list[_Piece]) -> int:
    return sum(len(piece.text) + 1 for piece in pieces)


def _lasts_ms(pieces: list[_Piece]) -> int:
    return pieces[-1].end_ms - pieces[0].start_ms


def _pause_ms(before: list[_Piece], after: list[_Piece]) -> int:
    return after[0].start_ms - before[-1].end_ms

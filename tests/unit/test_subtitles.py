"""Subtitles as strict readers read them: made-up transcripts of every kind for the rules, small ones for the choices."""

import html
import itertools
import random
import re
import unicodedata
from datetime import timedelta
from typing import Final, NamedTuple

import pytest
import srt
import webvtt

from app.domain.subtitles import CUE_LONGEST_MS, CUE_PAUSE_MS, LINE_CHARACTERS, Cue, cues_of, srt_of, vtt_of
from app.domain.transcript import Token, Transcript

_N_SAMPLES: Final = 2_000
_MS: Final = timedelta(milliseconds=1)
_PLAIN: Final = ("I", "a", "no", "3.5", "harbour", "counterrevolutionary", "-", "été", "e\u0301", "日本語", "👩‍👩‍👧")
_LONG: Final = ("x" * 41, "x" * 42, "abc" * 25, "語" * 140)
_MARKUP: Final = ("<i>", "&", "&amp;", "{\\an8}", "7", "00:00:01,000", "WEBVTT", "NOTE")
_ARROWS: Final = {"-->": "->", "a--->b": "a->b", "-\x00->": "->"}
_CONTROLS: Final = {"one\ntwo": "one two", "a\r\n\n\u2028b\x85c": "a b c", "\x07b\x7f": "b", "\x00": ""}
_SHOWN: Final = {word: word for word in _PLAIN + _LONG + _MARKUP} | _ARROWS | _CONTROLS  # by what the model writes
_PACES_S: Final = ((0.0,), (0.0, 0.001, 0.02), (0.0, 0.08, 0.16), (0.1, 0.24, 0.5), (0.3, 1.1, 2.4), (0.2, 6.9, 7.0, 12.0))
_PAUSES_S: Final = ((0.0,), (0.0, 0.0, 0.0, 0.08, 0.4), (0.0, 0.0, 0.5, 0.99, 1.0, 1.01, 2.5))
_STARTS_S: Final = (0.0, 0.0, 0.3, 59.9996, 3_599.9, 359_998.7)
_MARKS: Final = ("", "", "", "", ",", ".", "?", "…")


class Piece(NamedTuple):
    text: str
    start_ms: int
    end_ms: int


class Sample(NamedTuple):
    said: Transcript
    pieces: list[Piece]  # the words that are shown, long ones in parts, and when they are said
    cues: tuple[Cue, ...]

    @property
    def parts(self) -> list[list[Piece]]:
        """The pieces of each cue."""
        pieces = iter(self.pieces)
        return [list(itertools.islice(pieces, len(cue.text.split()))) for cue in self.cues]


def token(text: str, start_s: float, end_s: float) -> Token:
    return Token(id=1, text=text, start_s=start_s, end_s=end_s, logprob=-0.5)


def transcript(*words: tuple[str, float, float]) -> Transcript:
    return Transcript(tokens=tuple(token(f" {text}", start_s, end_s) for text, start_s, end_s in words))


def spoken(text: str, word_s: float = 0.5) -> Transcript:
    """Say `text` without any pause."""
    return transcript(*((word, i * word_s, (i + 1) * word_s) for i, word in enumerate(text.split())))


def lines_of(said: Transcript) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues_of(said)]


def times_of(said: Transcript) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in cues_of(said)]


def _pieces_of(shown: str, start_s: float, end_s: float) -> list[Piece]:
    texts = [word[i : i + LINE_CHARACTERS] for word in shown.split() for i in range(0, len(word), LINE_CHARACTERS)]
    start_ms = round(start_s * 1000)
    lasts_ms = min(round(end_s * 1000) - start_ms, CUE_LONGEST_MS)
    n = len(texts)
    return [Piece(text, start_ms + lasts_ms * i // n, start_ms + lasts_ms * (i + 1) // n) for i, text in enumerate(texts)]


def _sample(seed: int) -> Sample:
    chance = random.Random(seed)  # noqa: S311
    paces_s, pauses_s = chance.choice(_PACES_S), chance.choice(_PAUSES_S)
    tokens: list[Token] = []
    pieces: list[Piece] = []
    now_s = chance.choice(_STARTS_S)
    for _ in range(chance.randrange(40)):
        written, shown = chance.choice([*_SHOWN.items()])
        mark = chance.choice(_MARKS)
        start_s = now_s + chance.choice(pauses_s)
        end_s = start_s + chance.choice(paces_s)
        now_s = end_s + chance.choice(paces_s) * bool(mark)
        tokens += [token(f" {written}", start_s, end_s)] + [token(mark, end_s, now_s)] * bool(mark)
        pieces += _pieces_of(shown + mark, start_s, end_s)
    said = Transcript(tokens=tuple(tokens))
    return Sample(said, pieces, cues_of(said))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [_sample(seed) for seed in range(_N_SAMPLES)]


def _fits(pieces: list[Piece]) -> bool:
    texts = [piece.text for piece in pieces]
    cuts = ((" ".join(texts[:i]), " ".join(texts[i:])) for i in range(len(texts)))
    return pieces[-1].end_ms - pieces[0].start_ms <= 7000 and any(max(map(len, lines)) <= 42 for lines in cuts)


def test_every_word_is_shown_once_in_order_and_whole_where_it_fits_on_a_line(samples: list[Sample]) -> None:
    for sample in samples:
        assert " ".join(cue.text for cue in sample.cues).split() == [piece.text for piece in sample.pieces]


def test_no_cue_is_larger_than_two_lines_of_forty_two_characters(samples: list[Sample]) -> None:
    for cue in itertools.chain.from_iterable(sample.cues for sample in samples):
        assert 1 <= len(cue.lines) <= 2
        assert all(1 <= len(line) <= 42 for line in cue.lines)
        assert len(cue.lines) == 1 or len(" ".join(cue.lines)) > 42


def test_no_line_holds_what_would_end_or_begin_a_cue(samples: list[Sample]) -> None:
    for line in itertools.chain.from_iterable(cue.lines for sample in samples for cue in sample.cues):
        assert line.split() == line.split(" ")
        assert "-->" not in line
        assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in line)


def test_cues_run_forward_never_overlap_and_last_at_most_seven_seconds(samples: list[Sample]) -> None:
    for sample in samples:
        assert all(0 <= cue.start_ms < cue.end_ms <= cue.start_ms + 7000 for cue in sample.cues)
        assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(sample.cues))


def test_a_cue_lasts_a_second_unless_its_neighbours_touch_it_and_have_no_room(samples: list[Sample]) -> None:
    n_short = 0
    for sample in samples:
        befores_ms = [0, *(cue.end_ms for cue in sample.cues)]
        afters_ms = [*(cue.start_ms for cue in sample.cues[1:]), None]
        for before_ms, cue, after_ms in zip(befores_ms, sample.cues, afters_ms, strict=False):
            if cue.end_ms - cue.start_ms < 1000:
                n_short += 1
                assert (cue.start_ms, cue.end_ms) == (before_ms, after_ms)
        for before, after in itertools.pairwise(sample.parts):
            shorter_ms = min(part[-1].end_ms - part[0].start_ms for part in (before, after))
            assert shorter_ms >= 1000 or after[0].start_ms - before[-1].end_ms >= CUE_PAUSE_MS or not _fits(before + after)
    assert n_short > _N_SAMPLES / 10  # the exception was seen


def test_a_cue_is_shown_while_its_words_are_said_unless_a_neighbour_takes_its_place(samples: list[Sample]) -> None:
    for sample in samples:
        for i, (cue, part) in enumerate(zip(sample.cues, sample.parts, strict=True)):
            assert cue.start_ms <= part[0].start_ms or cue.start_ms == sample.cues[i - 1].end_ms
            assert cue.end_ms >= part[-1].end_ms or cue.end_ms == sample.cues[i + 1].start_ms


def test_no_cue_runs_across_a_pause(samples: list[Sample]) -> None:
    for before, after in itertools.chain.from_iterable(itertools.pairwise(part) for sample in samples for part in sample.parts):
        assert after.start_ms - before.end_ms < CUE_PAUSE_MS


def test_subrip_reads_back_as_the_same_cues(samples: list[Sample]) -> None:
    for sample in samples[::4]:  # the readers are slow
        written = srt_of(sample.said)
        read = list(srt.parse(written))
        found = [(cue.index, cue.content, cue.start / _MS, cue.end / _MS) for cue in read]
        assert found == [(i, cue.text, cue.start_ms, cue.end_ms) for i, cue in enumerate(sample.cues, 1)]
        assert srt.compose(read, reindex=False) == written


def test_webvtt_reads_back_as_the_same_cues(samples: list[Sample]) -> None:
    for sample in samples[::4]:  # the readers are slow
        written = vtt_of(sample.said)
        read = webvtt.from_string(written, strict=True)
        found = [
            (html.unescape(cue.raw_text), cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds()) for cue in read.captions
        ]
        assert found == [(cue.text, cue.start_ms, cue.end_ms) for cue in sample.cues]
        assert all(re.fullmatch("(?:[^&<>]|&(?:amp|lt|gt);)+", cue.raw_text) for cue in read.captions)
        assert read.content == written


def test_nothing_said_is_an_empty_subrip_and_a_bare_webvtt() -> None:
    for nothing in (Transcript(), transcript(("\x00", 0.0, 1.0))):
        assert (cues_of(nothing), srt_of(nothing), vtt_of(nothing)) == ((), "", "WEBVTT\n")


def test_the_two_formats_of_two_sentences() -> None:
    said = transcript(
        ("Is", 0.48, 0.64), ("2<3?", 0.64, 2.08), ("R&D", 4.1235, 5.0), ("says", 5.0, 5.6), ("-->", 5.6, 6.0), ("yes.", 6, 7)
    )
    assert srt_of(said) == ("1\n00:00:00,480 --> 00:00:02,080\nIs 2<3?\n\n2\n00:00:04,124 --> 00:00:07,000\nR&D says -> yes.\n\n")
    assert vtt_of(said) == (
        "WEBVTT\n\n00:00:00.480 --> 00:00:02.080\nIs 2&lt;3?\n\n00:00:04.124 --> 00:00:07.000\nR&amp;D says -&gt; yes.\n"
    )


@pytest.mark.parametrize(
    ("at_s", "clock"),
    [(0.9994, "00:00:00.999"), (59.9996, "00:01:00.000"), (3_599.9996, "01:00:00.000"), (445_506.007, "123:45:06.007")],
)
def test_times_are_rounded_before_they_are_split_into_hours_minutes_and_seconds(at_s: float, clock: str) -> None:
    said = transcript(("Now.", at_s, at_s + 2))
    assert f"\n{clock} --> " in vtt_of(said)
    assert f"\n{clock.replace('.', ',')} --> " in srt_of(said)


def test_a_cue_ends_with_its_sentence_even_without_a_pause() -> None:
    assert lines_of(spoken("Please go home. Come back tomorrow.")) == [("Please go home.",), ("Come back tomorrow.",)]
    assert times_of(spoken("Go. Now.", 1.0)) == [(0, 1000), (1000, 2000)]


@pytest.mark.parametrize(("pause_s", "n_cues"), [(0.999, 1), (1.0, 2)])
def test_a_pause_of_a_second_ends_a_cue_in_mid_sentence(pause_s: float, n_cues: int) -> None:
    assert len(lines_of(transcript(("one", 0.0, 1.5), ("two", 1.5 + pause_s, 4.0)))) == n_cues


def test_text_that_fits_on_one_line_stays_on_one() -> None:
    assert lines_of(spoken("so this is a line of forty-two characters,", 0.3)) == [("so this is a line of forty-two characters,",)]


def test_two_lines_are_alike_in_length_or_break_after_a_clause() -> None:
    even = "the old harbour master counted every single boat twice"
    clause = "when it rains, the old harbour master counts every boat"
    assert lines_of(spoken(even, 0.3)) == [("the old harbour master counted", "every single boat twice")]
    assert lines_of(spoken(clause, 0.3)) == [("when it rains, the old harbour", "master counts every boat")]
    assert lines_of(spoken(clause.replace("rains", "rains so hard"), 0.3)) == [
        ("when it rains so hard,", "the old harbour master counts every boat")
    ]


def test_a_long_sentence_is_cut_at_the_clause_near_its_middle_and_leaves_no_word_alone() -> None:
    said = "Well, nobody had thought of bringing an umbrella to the party, because the sun had been out the whole morning, no?"
    assert [" ".join(lines) for lines in lines_of(spoken(said, 0.3))] == [
        "Well, nobody had thought of bringing an umbrella to the party,",
        "because the sun had been out the whole morning, no?",
    ]


@pytest.mark.parametrize(("pause_s", "n_first"), [(0.0, 10), (0.8, 8)])
def test_a_long_sentence_without_a_clause_is_cut_in_its_middle_or_at_a_pause_near_it(pause_s: float, n_first: int) -> None:
    starts_s = [i * 0.3 + pause_s * (i >= 8) for i in range(20)]
    first, second = lines_of(transcript(*(("eleven", start_s, start_s + 0.3) for start_s in starts_s)))
    assert len(" ".join(first).split()) == n_first
    assert len(" ".join(second).split()) == 20 - n_first


def test_slow_speech_is_cut_where_both_sides_last_at_most_seven_seconds() -> None:
    said = transcript(("I", 0.0, 3.0), ("am", 3.0, 6.0), ("incomprehensibly", 6.0, 9.0), ("slow", 9.0, 12.0))
    assert times_of(said) == [(0, 6000), (6000, 12_000)]
    assert times_of(spoken("one two three four five six", 3.4)) == [(0, 6800), (6800, 13_600), (13_600, 20_400)]


def test_hours_without_a_full_stop_are_cut_into_whole_cues() -> None:
    cues = cues_of(spoken("word " * 10_000, 0.4))
    assert cues[-1].end_ms == 4_000_000
    assert len(cues) < 2 * 10_000 / 17  # seventeen words fill a cue: on average they are more than half full


def test_a_short_cue_joins_the_nearer_neighbour() -> None:
    long_before, short, long_after = ("Go home.", 0.0, 2.0), ("Yes.", 2.4, 2.8), ("I know.", 3.5, 4.6)
    assert lines_of(transcript(long_before, short, long_after)) == [("Go home. Yes.",), ("I know.",)]
    assert lines_of(transcript(long_before, ("Yes.", 2.7, 3.1), long_after)) == [("Go home.",), ("Yes. I know.",)]


def test_between_two_neighbours_as_near_a_short_cue_joins_the_shorter() -> None:
    assert lines_of(spoken("Go home now. Yes. I know.")) == [("Go home now.",), ("Yes. I know.",)]


def test_short_cues_join_until_they_are_long_enough() -> None:
    assert lines_of(spoken("No. No. No. No. No. No.", 0.4)) == [("No. No. No.",), ("No. No. No.",)]


def test_a_short_cue_next_to_pauses_stays_longer() -> None:
    said = transcript(("Yes.", 0.5, 0.8), ("I", 3.0, 3.1), ("know.", 3.1, 3.4))
    assert times_of(said) == [(500, 1500), (3000, 4000)]


def _no_and_seven_seconds(start_s: float) -> Transcript:
    """A short word, and right after it a sentence that leaves no room in its cue."""
    said = spoken("No. One two three four five six seven.", 1.0)
    return Transcript(tokens=(token(" No.", 0.6, 1.0), *said.tokens[1:])).shifted(start_s)


def test_a_short_cue_without_room_or_time_after_it_starts_earlier() -> None:
    assert times_of(_no_and_seven_seconds(1.4)) == [(1400, 2400), (2400, 9400)]


def test_never_overlapping_wins_over_lasting_a_second() -> None:
    assert times_of(_no_and_seven_seconds(-0.3)) == [(0, 700), (700, 7700)]


def test_words_that_are_all_due_at_once_still_follow_one_another() -> None:
    words = [(f"{'x' * 40}{i}", 5.0, 5.0) for i in range(6)]
    assert times_of(transcript(*words)) == [(4001, 5001), (5001, 5002), (5002, 6002)]


def test_a_word_that_claims_to_last_longer_is_shown_for_seven_seconds() -> None:
    assert times_of(transcript(("So", 1.0, 20.0), ("what?", 20.0, 22.0))) == [(1000, 8000), (20_000, 22_000)]


def test_a_word_longer_than_a_line_is_split_hard() -> None:
    assert cues_of(transcript(("ab" * 50, 0.0, 3.0), ("end", 3.0, 3.5))) == (
        Cue(lines=("ab" * 21,), start_ms=0, end_ms=1000),
        Cue(lines=("ab" * 21, "ab" * 8 + " end"), start_ms=1000, end_ms=3500),
    )

"""The ruler must be exact itself before anything is measured with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.audio import MODEL_RATE_HZ, Clip, Samples
from app.domain.ports import Options
from app.domain.transcript import Token
from app.testing.ruler import (
    HIGHEST_NUMBER,
    LONGEST_WORD_SAMPLES,
    SHORTEST_WORD_SAMPLES,
    RulerRecognizer,
    RulerWord,
    encode_words,
)


def read(samples: Samples, *, least_share: float = 0.5) -> tuple[Token, ...]:
    return RulerRecognizer(least_share=least_share).recognize([Clip(samples)], [Options()])[0].tokens


def samples_of(token: Token) -> tuple[int, int]:
    return round(token.start_s * MODEL_RATE_HZ), round(token.end_s * MODEL_RATE_HZ)


@st.composite
def several_words(draw: st.DrawFn) -> list[RulerWord]:
    words: list[RulerWord] = []
    at = 0
    for _ in range(draw(st.integers(0, 8))):
        at += draw(st.integers(0, 50))
        word = RulerWord(
            number=draw(st.integers(0, HIGHEST_NUMBER)),
            start_sample=at,
            n_samples=draw(st.integers(SHORTEST_WORD_SAMPLES, 200)),
            ends_sentence=draw(st.booleans()),
        )
        if words and word.start_sample == words[-1].end_sample and (word.number - words[-1].number) % 32 == 0:
            continue  # told apart only by where they begin, to two samples
        words.append(word)
        at = word.end_sample
    return words


@given(several_words(), st.integers(0, 50))
def test_every_word_is_read_back_at_its_own_samples(words: list[RulerWord], rest: int) -> None:
    n_samples = (words[-1].end_sample if words else 0) + rest + 1
    clip = encode_words(words, n_samples / MODEL_RATE_HZ)
    assert clip.samples.size == n_samples
    assert read(clip.samples) == tuple(word.token for word in words)


@given(several_words(), st.data())
def test_a_cut_leaves_the_words_of_which_half_is_inside(words: list[RulerWord], data: st.DataObject) -> None:
    n_samples = (words[-1].end_sample if words else 0) + 20
    start = data.draw(st.integers(0, n_samples - 1))
    end = data.draw(st.integers(start + 1, n_samples))
    expected = []
    for word in words:
        first, last = max(word.start_sample, start), min(word.end_sample, end)
        if (last - first) * 2 >= word.n_samples:
            expected.append((f" {word.text}", first - start, last - start))
    clip = encode_words(words, n_samples / MODEL_RATE_HZ)
    assert [(token.text, *samples_of(token)) for token in read(clip.samples[start:end])] == expected


def test_the_extremes_of_number_and_length_are_read() -> None:
    words = [
        RulerWord(number=0, start_sample=0, n_samples=SHORTEST_WORD_SAMPLES),
        RulerWord(number=HIGHEST_NUMBER, start_sample=10, n_samples=LONGEST_WORD_SAMPLES, ends_sentence=True),
    ]
    assert [token.text for token in read(encode_words(words, 5.0).samples)] == [" w0", f" w{HIGHEST_NUMBER}."]


@pytest.mark.parametrize(("least_share", "heard"), [(0.0, True), (0.3, True), (0.31, False), (1.0, False)])
def test_how_much_of_a_word_is_enough_can_be_chosen(least_share: float, heard: bool) -> None:
    clip = encode_words([RulerWord(number=5, start_sample=0, n_samples=1_000)], 0.1)
    assert bool(read(clip.samples[700:], least_share=least_share)) is heard


def test_a_word_with_its_middle_cut_out_is_two_pieces() -> None:
    samples = encode_words([RulerWord(number=5, start_sample=0, n_samples=900)], 0.1).samples
    cut = np.concatenate([samples[:300], samples[600:]])
    assert read(cut) == ()
    assert [samples_of(token) for token in read(cut, least_share=0.3)] == [(0, 300), (300, 600)]


def test_what_is_no_word_is_not_heard() -> None:
    rng = np.random.default_rng(3)
    assert read(rng.uniform(-0.2, 0.2, 16_000).astype(np.float32)) == ()
    assert read(rng.uniform(0.5, 1.0, 16_000).astype(np.float32)) == ()
    assert read(np.full(16_000, 0.4999, np.float32)) == ()


def test_words_are_loud_and_have_no_offset() -> None:
    samples = encode_words([RulerWord(number=77, start_sample=0, n_samples=16_000)], 1.0).samples
    assert np.abs(samples).min() >= 0.25
    assert np.abs(samples).max() < 0.5
    assert abs(samples.mean()) < 0.01
    assert all(np.sqrt(np.mean(frame**2)) > 0.25 for frame in samples[:15_872].reshape(-1, 512))


def test_an_hour_is_read_whole_and_in_pieces() -> None:
    words = [
        RulerWord(number=i, start_sample=i * 8_000 + i % 97, n_samples=1_601, ends_sentence=i % 12 == 11) for i in range(7_200)
    ]
    samples = encode_words(words, 3_600.0).samples
    found: list[tuple[str, int, int]] = []
    for at in range(0, samples.size, 60 * MODEL_RATE_HZ):
        for token in read(samples[at : at + 60 * MODEL_RATE_HZ]):
            start, end = samples_of(token)
            found.append((token.text, at + start, at + end))
    assert found == [(f" {word.text}", word.start_sample, word.end_sample) for word in words]


@pytest.mark.parametrize(
    "words",
    [
        [RulerWord(number=1, start_sample=0, n_samples=10), RulerWord(number=2, start_sample=9, n_samples=10)],
        [RulerWord(number=1, start_sample=100, n_samples=10), RulerWord(number=2, start_sample=0, n_samples=10)],
        [RulerWord(number=1, start_sample=1_595, n_samples=10)],
    ],
)
def test_words_that_do_not_fit_are_refused(words: list[RulerWord]) -> None:
    with pytest.raises(ValueError, match="follow one another"):
        encode_words(words, 0.1)


@pytest.mark.parametrize(
    ("number", "start", "n_samples"), [(-1, 0, 100), (HIGHEST_NUMBER + 1, 0, 100), (0, -1, 100), (0, 0, 5), (0, 0, 65_536)]
)
def test_a_word_that_cannot_be_written_is_refused(number: int, start: int, n_samples: int) -> None:
    with pytest.raises(ValueError, match=r"must be|lasts"):
        RulerWord(number=number, start_sample=start, n_samples=n_samples)

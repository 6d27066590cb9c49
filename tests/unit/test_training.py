"""What the bundled model is taught: where its pieces are spoken, and what is right at each frame."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.alignment import letter_ends_s, piece_ends_s
from training.architecture import DURATIONS
from training.path_loss import BESIDE, EARLY, LATE, path_loss, points

BLANK = 9
SOUNDS = {"a": "AH", "b": "B", "d": "D", "i": "IY", "o": "OW", "t": "T"}  # a language that is spelled as it is spoken
WORDS = ("bad", "dot", "tab", "bit", "abbot", "idiot", "data", "boat")


def spoken(text: str) -> tuple[list[tuple[str, str]], np.ndarray]:
    """The phones of a text, each of a tenth of a second; a pause before the first word and after the last."""
    phones = ["pau", *(SOUNDS[letter] for letter in text.lower() if letter in SOUNDS), "pau"]
    return [("toy", phone) for phone in phones], (np.arange(len(phones)) + 1).astype(np.float32) / 10


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), min_size=30, max_size=40))
def test_letters_end_with_their_sounds(sentences: list[list[str]]) -> None:
    texts = [" ".join(words).capitalize() + "." for words in sentences] + ["Bad dot tab bit abbot idiot data boat."]
    phones, ends_s = zip(*(spoken(text) for text in texts), strict=True)
    for text, found in zip(texts, letter_ends_s(texts, phones, ends_s), strict=True):
        sounded = [i for i, letter in enumerate(text) if letter.lower() in SOUNDS]
        assert found[sounded] == pytest.approx((np.arange(len(sounded)) + 2) / 10)
        assert found[-1] == found[-2]  # the full stop ends with the last letter


def test_a_piece_ends_with_its_last_letter() -> None:
    texts = ["Bad dot.", *(f"{' '.join(words).capitalize()}." for words in permutations(WORDS, 3))]
    phones, ends_s = zip(*(spoken(text) for text in texts), strict=True)
    lengths = [np.array([1, 2, 2, 2, 2]), *(np.array([len(text) + 1]) for text in texts[1:])]  # "_", "Ba", "d_", "do", "t."
    found = piece_ends_s(texts, phones, ends_s, lengths)[0]
    assert found == pytest.approx([0.0, 0.3, 0.4, 0.6, 0.7])


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 40)), max_size=12), st.integers(1, 41))
def test_a_decoder_that_does_as_it_is_told_writes_the_pieces_at_their_frames(said: list[tuple[int, int]], n_frames: int) -> None:
    frames = np.sort(np.array([min(frame, n_frames - 1) for _, frame in said], np.int64))
    pieces = np.array([piece for piece, _ in said], np.int64)
    laid = points(pieces, frames, n_frames, BLANK)
    told = {(int(f), int(u)): (int(p), int(d)) for f, u, p, d in zip(*laid[:4], strict=True)}
    assert len(told) == laid.frame.size
    at, wrote = 0, list[tuple[int, int]]()
    while at < n_frames:
        piece, duration = told[at, len(wrote)]
        assert duration in DURATIONS
        if piece != BLANK:
            wrote.append((piece, at))
        at += duration
    assert [piece for piece, _ in wrote] == pieces.tolist()
    assert [frame for _, frame in wrote] == frames.tolist()


def test_beside_the_path_it_is_told_the_same_with_less_weight() -> None:
    laid = points(np.array([5]), np.array([6]), 20, BLANK)
    of_first = laid.written == 0
    assert laid.frame[of_first].tolist() == list(range(6 + LATE + 1))
    assert laid.piece[of_first].tolist() == [BLANK] * 6 + [5] * (LATE + 1)
    assert laid.weight[of_first].tolist() == pytest.approx([1.0] * 7 + [BESIDE] * LATE)
    assert laid.frame[~of_first].tolist() == list(range(6 - EARLY, 20))


def test_the_loss_is_the_weighted_surprise_of_pieces_and_durations() -> None:
    logits = torch.zeros(2, 4 + len(DURATIONS))
    found = path_loss(logits, torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([1.0, 0.5]))
    assert float(found) == pytest.approx(1.5 * (np.log(4) + np.log(5)))

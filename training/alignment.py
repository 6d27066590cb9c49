"""Where in a clip each piece of its transcript is spoken: letters are matched with the synthesiser's timed phones.

Letters and phones of a clip are in one order, so matching them is an edit distance whose costs are learned from the
store itself: first from the diagonal alone, then a few rounds of matching and counting (Viterbi training). Source of
the method: A. Black, K. Lenzo, V. Pagel, "Issues in Building General Letter to Sound Rules", SSW 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from .phones import Symbol

ROUNDS: Final = 4
_WIDTH: Final = 4.0  # letters: how far from the diagonal the first counts reach
# Number 0 on both sides stands for nothing: the partner of a silent letter, and of a phone without a letter.


@numba.njit(cache=True)
def _match(letters: Any, phones: Any, cost: Any) -> Any:
    """Return for every letter the phone it is matched with, or -1; int64 (n_letters,)."""
    n, m = letters.size, phones.size
    best = np.empty((n + 1, m + 1), np.float32)
    best[0, 0] = 0.0
    for i in range(1, n + 1):
        best[i, 0] = best[i - 1, 0] + cost[letters[i - 1], 0]
    for j in range(1, m + 1):
        best[0, j] = best[0, j - 1] + cost[0, phones[j - 1]]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            both = best[i - 1, j - 1] + cost[letters[i - 1], phones[j - 1]]
            silent = best[i - 1, j] + cost[letters[i - 1], 0]
            unwritten = best[i, j - 1] + cost[0, phones[j - 1]]
            best[i, j] = min(both, silent, unwritten)
    found = np.full(n, -1, np.int64)
    i, j = n, m
    while i > 0 and j > 0:
        if best[i, j] == best[i - 1, j - 1] + cost[letters[i - 1], phones[j - 1]]:
            i, j = i - 1, j - 1
            found[i] = j
        elif best[i, j] == best[i - 1, j] + cost[letters[i - 1], 0]:
            i -= 1
        else:
            j -= 1
    return found


@numba.njit(cache=True)
def _count_diagonal(letters: Any, phones: Any, counts: Any) -> None:
    for i in range(letters.size):
        for j in range(phones.size):
            away = (i + 0.5) - (j + 0.5) * letters.size / phones.size
            counts[letters[i], phones[j]] += np.exp(-0.5 * (away / _WIDTH) ** 2)


@numba.njit(cache=True)
def _count_matched(letters: Any, phones: Any, found: Any, counts: Any) -> None:
    used = np.zeros(phones.size, np.bool_)
    for i in range(letters.size):
        if found[i] >= 0:
            counts[letters[i], phones[found[i]]] += 1
            used[found[i]] = True
        else:
            counts[letters[i], 0] += 1
    for j in range(phones.size):
        if not used[j]:
            counts[0, phones[j]] += 1


def letter_ends_s(
    texts: Sequence[str], phones: Sequence[Sequence[Symbol]], phone_ends_s: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Tell when each character of every text has been said, in seconds after the clip's first sample.

    A silent letter, a space and a mark end with the letter before them.

    Returns:
        For each clip float32, shape (len(text),), never falling; zeros where the clip has no phones.
    """
    numbers: dict[str, int] = {}
    symbols: dict[Symbol, int] = {}
    written = [np.array([numbers.setdefault(c, len(numbers) + 1) for c in text.lower()], np.int64) for text in texts]
    spoken = [np.array([symbols.setdefault(p, len(symbols) + 1) for p in clip], np.int64) for clip in phones]
    counts = np.ones((len(numbers) + 1, len(symbols) + 1))
    for letters, sounds in zip(written, spoken, strict=True):
        if sounds.size:
            _count_diagonal(letters, sounds, counts)
    counts[0], counts[:, 0] = counts[1:].mean(axis=0) / 4, counts[:, 1:].mean(axis=1) / 4
    found: list[NDArray[np.int64]] = []
    for _ in range(ROUNDS):
        cost = np.asarray(-np.log(counts / counts.sum()), np.float32)
        found = [_match(letters, sounds, cost) for letters, sounds in zip(written, spoken, strict=True)]
        counts = np.full_like(counts, 0.5)
        for letters, sounds, pairs in zip(written, spoken, found, strict=True):
            _count_matched(letters, sounds, pairs, counts)
    ends: list[NDArray[np.float32]] = []
    for text, pairs, ends_s in zip(texts, found, phone_ends_s, strict=True):
        matched = (pairs >= 0) & np.array([c.isalnum() for c in text], np.bool_)
        said = np.where(matched, ends_s[np.maximum(pairs, 0)], 0.0) if ends_s.size else np.zeros(pairs.size)
        ends.append(np.maximum.accumulate(said).astype(np.float32))
    return ends


def piece_ends_s(
    texts: Sequence[str],
    phones: Sequence[Sequence[Symbol]],
    phone_ends_s: Sequence[NDArray[np.float32]],
    piece_lengths: Sequence[NDArray[np.int64]],
) -> list[NDArray[np.float32]]:
    """Tell when each piece of every text has been said: when its last letter has.

    Args:
        piece_lengths: Of each clip, the letters of each piece, the mark of a word's begin counted as the space before it.

    Returns:
        For each clip float32, shape (n_pieces,), never falling, in seconds after its first sample.
    """
    ends = []
    for letters_s, lengths in zip(letter_ends_s(texts, phones, phone_ends_s), piece_lengths, strict=True):
        last = np.cumsum(lengths) - 2  # the first word has the mark, but no space
        ends.append(np.where(last < 0, 0.0, letters_s[np.clip(last, 0, letters_s.size - 1)]).astype(np.float32))
    return ends

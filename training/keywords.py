"""Measure what keywords do on the bundled model: words it gets wrong, asked for again with the word as keyword.

Uses the evaluation speech that `bundled.py --stage evaluate` left in its work folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import jiwer
import msgspec
import numpy as np

from app.adapters.nemo.recognizer import NemoRecognizer
from app.domain.audio import Clip
from app.domain.ports import Options

from .evaluate import SENTENCES, normalised, spoken
from .voices import KNOWN_EVALUATION_VOICES, Voice

LEAST_LETTERS: Final = 4  # shorter words are nobody's keyword
SENTENCES_PER_VOICE: Final = 100
WORDS_PER_VOICE: Final = 25
STRANGERS: Final = ("Kilimanjaro", "saxophone", "Wolfgang", "blueberry", "parliament")  # said in no evaluation sentence


class Found(msgspec.Struct, kw_only=True):
    """Counts over all trials."""

    wrong: int = 0  # words the model got wrong without keywords
    mended: int = 0  # of them right with the word as keyword
    others: int = 0  # words that were right without keywords, in trials with a keyword that was not said
    damaged: int = 0  # of them wrong with it
    neighbours: int = 0  # clips without keywords in the same batch
    changed: int = 0  # of them answered otherwise than without keywords beside them


def measure(recognizer: NemoRecognizer, voices: Sequence[Voice], work: Path) -> Found:
    """Try every voice: each trial is a batch of two, a clip with a keyword and a clip without."""
    sentences = SENTENCES.read_text().splitlines()
    found = Found()
    for voice in voices:
        clips = [Clip(samples) for samples in spoken(voice, sentences, work)[:SENTENCES_PER_VOICE]]
        plain = [recognizer.recognize([clip], [Options()])[0] for clip in clips]
        trials = [(i, word) for i in range(len(clips)) for word in _mistaken(sentences[i], plain[i].text)][:WORDS_PER_VOICE]
        for i, word in trials:
            beside = (i + 1) % len(clips)
            said, neighbour = recognizer.recognize([clips[i], clips[beside]], [Options(keywords=(word,)), Options()])
            found.wrong += 1
            found.mended += word not in _mistaken(sentences[i], said.text)
            found.neighbours += 1
            found.changed += neighbour.text != plain[beside].text
        for i, stranger in zip(range(0, len(clips), 2), cycle(STRANGERS), strict=False):
            said = recognizer.recognize([clips[i]], [Options(keywords=(stranger,))])[0]
            before, after = (_right(sentences[i], text) for text in (plain[i].text, said.text))
            found.others += len(before)
            found.damaged += len(before - after)
    return found


def cost_ms(recognizer: NemoRecognizer, clip: Clip, n_keywords: int) -> float:
    """Median milliseconds that new keywords add to one recognition of `clip`."""

    def took_ms(options: Options) -> float:
        began_s = time.perf_counter()
        recognizer.recognize([clip], [options])
        return 1000 * (time.perf_counter() - began_s)

    plain = [took_ms(Options()) for _ in range(20)]
    steered = [took_ms(Options(keywords=tuple(f"keyword {i} {j}" for j in range(n_keywords)))) for i in range(20)]
    return float(np.median(steered) - np.median(plain))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--model", default="bundled")
    arguments = parser.parse_args()
    recognizer = NemoRecognizer(arguments.model, device="cpu")
    found = measure(recognizer, KNOWN_EVALUATION_VOICES, arguments.work / "evaluation")
    print(f"{found.mended} of {found.wrong} mistaken words are right with the word as keyword")
    print(f"{found.damaged} of {found.others} right words are wrong with a keyword that was not said")
    print(f"{found.changed} of {found.neighbours} clips without keywords changed beside one with a keyword")
    clip = Clip(spoken(KNOWN_EVALUATION_VOICES[0], SENTENCES.read_text().splitlines(), arguments.work / "evaluation")[0])
    for n_keywords in (1, 10, 100):
        print(f"{n_keywords} new keywords cost {cost_ms(recognizer, clip, n_keywords):.1f} ms on a clip of {clip.duration_s:.1f} s")


def _alignment(sentence: str, said: str) -> Iterator[tuple[int, bool]]:
    """Each word of the sentence by number, and whether it was written."""
    found = jiwer.process_words(normalised(sentence), normalised(said) or "-")
    for chunk in found.alignments[0]:
        yield from ((i, chunk.type == "equal") for i in range(chunk.ref_start_idx, chunk.ref_end_idx))


def _right(sentence: str, said: str) -> set[int]:
    return {i for i, right in _alignment(sentence, said) if right}


def _mistaken(sentence: str, said: str) -> list[str]:
    """The words worth a keyword that were not written, as the sentence spells them."""
    spelled = [bare for word in sentence.split() if (bare := word.strip(".,?!;:'\"-"))]
    words = normalised(sentence).split()
    if len(spelled) != len(words):
        return []  # a word with a hyphen or a digit: no telling which is which
    return [spelled[i] for i in sorted(set(range(len(words))) - _right(sentence, said)) if len(words[i]) >= LEAST_LETTERS]


if __name__ == "__main__":
    main()

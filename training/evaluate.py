"""Score the model on the 300 held-out everyday sentences, in voices it knows and in one it never heard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import jiwer
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from .architecture import EncDecRNNTBPEModel
from .voices import HELD_OUT_VOICE, KNOWN_EVALUATION_VOICES, Line, Voice, synthesise_many

SENTENCES: Final = Path(__file__).parent / "evaluation_sentences.txt"
BATCH_CLIPS: Final = 25


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Word errors of one voice over all sentences; case and punctuation are not counted."""

    voice: str
    known: bool
    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    def line(self) -> str:
        return (
            f"| {self.voice} | {'known' if self.known else 'never heard'} | {self.words} | {self.substitutions} "
            f"| {self.deletions} | {self.insertions} | {100 * self.errors / self.words:.1f} % |"
        )


def normalised(text: str) -> str:
    """Lower-case words alone, as the error rate counts them."""
    return " ".join(re.sub(r"[^a-z' ]+", " ", text.lower()).split())


def evaluate(model: EncDecRNNTBPEModel, work: Path, voices: Sequence[Voice] = KNOWN_EVALUATION_VOICES) -> list[Score]:
    """Have `voices`, then the held-out one, read every sentence (kept in `work`), and count the model's word errors."""
    sentences = SENTENCES.read_text().splitlines()
    model.eval()
    scores = []
    for voice in track([*voices, HELD_OUT_VOICE], description="evaluating"):
        clips = spoken(voice, sentences, work)
        said = _transcribe(model, clips)
        counted = jiwer.process_words([normalised(text) for text in sentences], [normalised(text) for text in said])
        scores.append(
            Score(
                voice=str(voice), known=voice != HELD_OUT_VOICE, words=counted.hits + counted.substitutions + counted.deletions,
                substitutions=counted.substitutions, deletions=counted.deletions, insertions=counted.insertions,
            )
        )  # fmt: skip
    return scores


def write_card(path: Path, scores: Sequence[Score], *, clips: int, heard_hours: float) -> None:
    """Write the model's card beside it."""
    known = [score for score in scores if score.known]
    unknown = [score for score in scores if not score.known]

    def rate(part: Sequence[Score]) -> str:
        errors, words = sum(score.errors for score in part), sum(score.words for score in part)
        return f"{100 * errors / words:.1f} % ({errors} of {words} words)"

    rows = "\n".join(score.line() for score in scores)
    path.write_text(
        f"""# The bundled demonstration model

A small FastConformer-TDT (NeMo `EncDecRNNTBPEModel`, 128 mel bands, 8x subsampling, durations 0 to 4, 256 pieces), trained
from random weights by `just train-bundled` on synthesised speech alone: {clips:,} sentences, each read once by espeak-ng, flite and
festival voices with added noise, reverberation and band limits; {heard_hours:.0f} hours heard in training, repeats counted.

**It is not a production model.** It shows the service working, and lets its tests hear real speech, without a download. It has
never heard a human being, nor more than one sentence at once: the service cuts what is longer than six seconds. For real use run
Parakeet (see the README).

## Word error rate

300 everyday sentences that never entered training, each read by every voice below at normal speed, without added noise; case and
punctuation not counted. The sentences and the grammar that composes part of the training text are by the same authors, so
their style is alike; no training sentence shares five words in a row with one of them.

- Known voices: **{rate(known)}**
- A voice never heard in training: **{rate(unknown)}**

| voice | | words | substituted | deleted | inserted | WER |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""
    )


def spoken(voice: Voice, sentences: Sequence[str], work: Path) -> list[NDArray[np.float32]]:
    """Return the sentences as `voice` reads them: float32 at 16 kHz each, kept in `work` once synthesised."""
    work.mkdir(parents=True, exist_ok=True)
    stored = work / f"{str(voice).replace(':', '_')}.npz"
    if not stored.exists():
        read = synthesise_many(voice, [Line(text) for text in sentences])
        np.savez(stored, *(reading.samples if reading else np.zeros(1600, np.int16) for reading in read))
    with np.load(stored) as arrays:
        return [arrays[f"arr_{i}"].astype(np.float32) * np.float32(2**-15) for i in range(len(sentences))]


def _transcribe(model: EncDecRNNTBPEModel, clips: Sequence[NDArray[np.float32]]) -> list[str]:
    texts: list[str] = []
    with torch.inference_mode():
        for first in range(0, len(clips), BATCH_CLIPS):
            batch = clips[first : first + BATCH_CLIPS]
            length = torch.tensor([len(samples) for samples in batch])
            signal = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(samples) for samples in batch], batch_first=True)
            features, n_features = model.preprocessor(input_signal=signal, length=length)
            encoded, n_frames = model.encoder(audio_signal=features, length=n_features)
            found = model.decoding.rnnt_decoder_predictions_tensor(encoded, n_frames, return_hypotheses=True)
            texts += [hypothesis.text for hypothesis in found]
    return texts

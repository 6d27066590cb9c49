"""The ruler: words written into samples, and a recogniser that reads exactly those words at exactly those times.

With it, seams, times and accounting are proved to the sample over hours, where a real model could only be compared by word error
rate. Every sample of a word lies within 0.25 <= |x| < 0.5, where a float32 has 23 bits of mantissa free, and says in them which of
three fields it carries and what that field holds; the fields take turns from sample to sample:

    which  bits 21-22   bits 5-20                              bits 0-4
    0      0            number * 2 + ends_sentence, 21 bits, over both
    1      1            length of the word in samples          the number's lowest bits
    2      2            this sample's position in the word     the number's lowest bits

So three samples in a row tell the word, its length and where in it they are, however the audio was cut. The sign is a square wave,
which gives the words the energy of loud speech and no offset. Only bit-exact transport keeps the words: float32 files at 16 kHz,
not 16-bit PCM, no lossy codec, no resampling, no gain, no noise over the words. Between words anything below 0.25 is silence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..domain.audio import MODEL_RATE_HZ, Clip, Samples
from ..domain.ports import DeviceMemory, Options, RecognizerFacts
from ..domain.transcript import Token, Transcript
from .recognizers import check_batch

HIGHEST_NUMBER: Final = (1 << 20) - 1
SHORTEST_WORD_SAMPLES: Final = 6  # half of it still holds all three fields
LONGEST_WORD_SAMPLES: Final = (1 << 16) - 1  # 4.1 s
RULER_LOGPROB: Final = -0.125
RULER_FACTS: Final = RecognizerFacts(
    model_id="ruler", languages=("en",), longest_clip_s=1_440.0, batch_padded_s=60.0, demonstration=True
)
_N_FIELDS: Final = 3
_NUMBER, _LENGTH, _POSITION = range(_N_FIELDS)
_FIELD_SHIFT: Final = 21
_CHECK_BITS: Final = 5  # tell apart words that follow one another without a pause
_CHECK_MASK: Final = (1 << _CHECK_BITS) - 1
_MANTISSA: Final = np.uint32((1 << 23) - 1)
_EXPONENT: Final = np.uint32(0x3E80_0000)  # the bits of 0.25: with any mantissa, a value of 0.25 <= x < 0.5
_SIGN: Final = np.uint32(0x8000_0000)
_HALF_WAVE_SAMPLES: Final = 32  # 250 Hz, within the band of speech


class RulerWord(msgspec.Struct, frozen=True, kw_only=True):
    """One word of the ruler: read as ` w7`, or ` w7.` where it ends a sentence; [start_sample, start_sample + n_samples)."""

    number: int
    start_sample: int
    n_samples: int
    ends_sentence: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.number <= HIGHEST_NUMBER or self.start_sample < 0:
            raise ValueError(f"number must be within 0..{HIGHEST_NUMBER} and the start not before zero: {self}")
        if not SHORTEST_WORD_SAMPLES <= self.n_samples <= LONGEST_WORD_SAMPLES:
            raise ValueError(f"a word lasts {SHORTEST_WORD_SAMPLES}..{LONGEST_WORD_SAMPLES} samples: {self}")

    @property
    def end_sample(self) -> int:
        return self.start_sample + self.n_samples

    @property
    def text(self) -> str:
        return f"w{self.number}{'.' if self.ends_sentence else ''}"

    @property
    def token(self) -> Token:
        """What `RulerRecognizer` writes for the whole word, in a clip that starts where the word's own count of samples does."""
        return _token(self.number, self.ends_sentence, self.start_sample, self.end_sample)


def encode_words(words: Sequence[RulerWord], duration_s: float) -> Clip:
    """Write words into silence.

    Args:
        words: In the order of time; one may start where the one before it ends.

    Returns:
        round(duration_s * MODEL_RATE_HZ) samples, 0.0 where no word is.

    Raises:
        ValueError: Two words overlap or stand in the wrong order, or one lies past the end.
    """
    samples = np.zeros(round(duration_s * MODEL_RATE_HZ), np.float32)
    free_from = 0
    for word in words:
        if word.start_sample < free_from or word.end_sample > samples.size:
            raise ValueError(f"words must follow one another within {samples.size} samples: {word}")
        samples[word.start_sample : word.end_sample] = _sound(word)
        free_from = word.end_sample
    return Clip(samples)


def _sound(word: RulerWord) -> Samples:
    check = word.number & _CHECK_MASK
    positions = np.arange(word.n_samples, dtype=np.uint32)
    codes = (positions << _CHECK_BITS) | np.uint32(check | _POSITION << _FIELD_SHIFT)
    codes[_NUMBER::_N_FIELDS] = word.number << 1 | word.ends_sentence
    codes[_LENGTH::_N_FIELDS] = word.n_samples << _CHECK_BITS | check | _LENGTH << _FIELD_SHIFT
    signs = np.where(positions // _HALF_WAVE_SAMPLES % 2 == 0, np.uint32(0), _SIGN)
    return (codes | _EXPONENT | signs).view(np.float32)


class RulerRecognizer:
    """Reads the words of `encode_words`, one token each. What else sounds, it does not hear.

    A word cut by the clip's edge, or by a cut inside the clip, is written if at least `least_share` of its samples are in one piece
    there, as a model hears a word of which enough is left; its times are those of that piece.
    """

    def __init__(self, *, least_share: float = 0.5, facts: RecognizerFacts = RULER_FACTS) -> None:
        if not 0 <= least_share <= 1:
            raise ValueError(f"a share lies within 0..1: {least_share}")
        self._least_share = least_share
        self._facts = facts

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        return {"model": self._facts.model_id, "least_share": self._least_share}

    def device_memory(self) -> DeviceMemory | None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        """Read each clip alone.

        Raises:
            ValueError: The caller breaks the port's rules: no clip, an empty one, one too long, or not one `Options` for each.
        """
        check_batch(clips, options, self._facts)
        return [self._read(clip.samples) for clip in clips]

    def _read(self, samples: Samples) -> Transcript:
        at, codes = _coded(samples)
        if at.size == 0:
            return Transcript()
        first, end = _pieces(at, codes)
        field = codes[first] >> _FIELD_SHIFT  # the field a piece begins with; the others follow in turn
        whole = end - first >= _N_FIELDS  # fewer samples do not tell the word
        first, end, field = first[whole], end[whole], field[whole]
        number = codes[first + (_NUMBER - field) % _N_FIELDS]
        length = (codes[first + (_LENGTH - field) % _N_FIELDS] >> _CHECK_BITS) & LONGEST_WORD_SAMPLES
        enough = end - first >= np.ceil(length * self._least_share)
        pieces = zip(number[enough], at[first[enough]], at[end[enough] - 1] + 1, strict=True)
        return Transcript(tokens=tuple(_token(int(n) >> 1, bool(n & 1), int(start), int(end)) for n, start, end in pieces))


def _token(number: int, ends_sentence: bool, start_sample: int, end_sample: int) -> Token:
    return Token(
        id=number,
        text=f" w{number}{'.' if ends_sentence else ''}",
        start_s=start_sample / MODEL_RATE_HZ,
        end_s=end_sample / MODEL_RATE_HZ,
        logprob=RULER_LOGPROB,
    )


def _coded(samples: Samples) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where the samples of words are, and the code each carries."""
    bits = np.ascontiguousarray(samples).view(np.uint32)
    at = np.flatnonzero((bits & ~_SIGN & ~_MANTISSA) == _EXPONENT)
    codes = (bits[at] & _MANTISSA).view(np.int32)
    known = codes >> _FIELD_SHIFT < _N_FIELDS
    return at[known], codes[known]


def _pieces(at: NDArray[np.int64], codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and end, as indices into `at`, of every run of samples of one word that follow one another as they were written."""
    field = codes >> _FIELD_SHIFT
    check = np.where(field == _NUMBER, codes >> 1, codes) & _CHECK_MASK
    new = np.ones(at.size, np.bool_)
    new[1:] = (np.diff(at) != 1) | (field[1:] != (field[:-1] + 1) % _N_FIELDS) | (check[1:] != check[:-1])
    placed = np.flatnonzero(field == _POSITION)
    began = at[placed] - ((codes[placed] >> _CHECK_BITS) & LONGEST_WORD_SAMPLES)  # where the word's first sample is or would be
    moved = placed[1:][np.diff(began) != 0]
    frame = [np.maximum(moved - back, 0) for back in (0, 1, 2)]  # the three samples that end with each of `moved`
    new[frame[2]] |= ~(new[frame[0]] | new[frame[1]] | new[frame[2]])  # a cut inside a word: known to these samples
    first = np.flatnonzero(new)
    return first, np.append(first[1:], at.size)

"""The voices that read the training sentences, and how each synthesiser is asked for its speech.

Everything is heard at `SPEECH_RATE_HZ`, one channel, signed 16 bit. The engines are the Debian packages espeak-ng, flite and
festival (with festvox-kallpc16k, festvox-kdlpc16k and festvox-us-slt-hts).
"""

import math
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from . import espeak

SPEECH_RATE_HZ: Final = 16_000
MARGIN_S: Final = 0.15  # silence left before and after the speech, where the engine gave that much
_LEAST_MARGIN_S: Final = 0.1  # filled up with zeros below this
_FRAME_SAMPLES: Final = 160  # 10 ms: the step in which the ends of the speech are sought
_QUIET_DB: Final = -45.0  # a frame this far below the loudest one is taken for no speech; a guess, not tuned
_ESPEAK_WORDS_PER_MIN: Final = 175  # espeak-ng's own default for -s
_ESPEAK_PITCH: Final = 50  # espeak-ng's own default for -p; its table spans one octave down and one up over 0..99
_TIMEOUT_S: Final = 60.0  # for one utterance; each engine is far faster than real time, so only a hung one takes this long

Engine = Literal["espeak-ng", "flite", "festival"]


class SynthesisError(Exception):
    """An engine gave no usable sound for this text; another text may well work."""


@dataclass(frozen=True)
class Voice:
    """One speaker. `weight` is its share among the training voices, 0 for one never trained on; `name` is the engine's own."""

    engine: Engine
    name: str
    weight: float = 0.0

    def __str__(self) -> str:
        return f"{self.engine}:{self.name}"


@dataclass(frozen=True)
class Phone:
    """One sound of the engine's own phone set, `end_s` after the first sample."""

    symbol: str
    end_s: float


@dataclass(frozen=True, eq=False)
class Reading:
    """One text as read: int16, shape (n_samples,), at `SPEECH_RATE_HZ`, with `MARGIN_S` or less of quiet at both ends.

    `phones` follow each other without gaps from the first sample on.
    """

    samples: NDArray[np.int16]
    phones: tuple[Phone, ...]


@dataclass(frozen=True)
class Line:
    """One text to be read: `rate` 1.0 is the voice's normal speed (1.25 is a quarter faster), `pitch` 1.0 its normal height."""

    text: str
    rate: float = 1.0
    pitch: float = 1.0


_ESPEAK_SHARE: Final = 0.42
_ESPEAK_ACCENTS: Final[dict[str, tuple[float, float]]] = {  # share of espeak-ng's part, and of that the plain voice's
    "en-us": (0.30, 0.30),
    "en-gb": (0.22, 0.30),
    "en-gb-x-rp": (0.10, 0.15),
    "en-us-nyc": (0.10, 0.15),
    "en-gb-scotland": (0.08, 0.15),
    "en-029": (0.08, 0.15),
    "en-gb-x-gbclan": (0.06, 0.15),
    "en-gb-x-gbcwmd": (0.06, 0.15),
}
_USUAL: Final = 1.0
_ODD: Final = 0.2  # by their names robotic or shaky; nobody listened
_ESPEAK_VARIANTS: Final[dict[str, float]] = {  # left out: whispers, croak, Demonic, and languages of their own
    **{f"m{i}": _USUAL for i in range(1, 9)},
    **{f"f{i}": _USUAL for i in range(1, 6)},
    "klatt": _USUAL,
    **{f"klatt{i}": _USUAL for i in range(2, 7)},
    **dict.fromkeys(
        (
            "adam",
            "Alex",
            "Alicia",
            "Andrea",
            "Andy",
            "Annie",
            "antonio",
            "aunty",
            "belinda",
            "benjamin",
            "boris",
            "david",
            "ed",
            "edward",
            "Gene",
            "Hugo",
            "Jacky",
            "john",
            "Lee",
            "linda",
            "Marco",
            "Mario",
            "max",
            "Michael",
            "mike",
            "pablo",
            "paul",
            "quincy",
            "rob",
            "robert",
            "steph",
            "zac",
            "anika",
            "travis",
        ),
        _USUAL,
    ),
    **dict.fromkeys(("grandma", "grandpa", "iven", "robosoft3", "shelby", "Storm", "norbert", "victor"), _ODD),
}


def _espeak_voices() -> tuple[Voice, ...]:
    total = sum(_ESPEAK_VARIANTS.values())
    voices: list[Voice] = []
    for accent, (share, plain) in _ESPEAK_ACCENTS.items():
        part = _ESPEAK_SHARE * share
        voices.append(Voice("espeak-ng", accent, part * plain))
        voices += (Voice("espeak-ng", f"{accent}+{v}", part * (1 - plain) * w / total) for v, w in _ESPEAK_VARIANTS.items())
    return tuple(voices)


TRAINING_VOICES: Final[tuple[Voice, ...]] = (  # the weights add up to 1
    *_espeak_voices(),
    Voice("flite", "slt", 0.12),
    Voice("flite", "rms", 0.12),
    Voice("flite", "awb", 0.12),
    Voice("flite", "kal16", 0.07),
    Voice("festival", "cmu_us_slt_arctic_hts", 0.09),
    Voice("festival", "kal_diphone", 0.06),
)
HELD_OUT_VOICE: Final = Voice("festival", "ked_diphone")  # for evaluation alone: no training clip is spoken by it
KNOWN_EVALUATION_VOICES: Final[tuple[Voice, ...]] = (  # heard in training, reading other texts
    Voice("espeak-ng", "en-us"),
    Voice("espeak-ng", "en-gb+f3"),
    Voice("espeak-ng", "en-us+m3"),
    Voice("flite", "slt"),
    Voice("flite", "rms"),
    Voice("flite", "awb"),
    Voice("festival", "cmu_us_slt_arctic_hts"),
    Voice("flite", "kal16"),
)


def synthesise(voice: Voice, text: str, *, rate: float = 1.0, pitch: float = 1.0) -> NDArray[np.int16]:
    """Read one text.

    Args:
        rate: Speed; training draws from 0.8..1.3.
        pitch: Height; training draws from 0.8..1.3. festival and flite's rms have one height only and ignore it.

    Returns:
        int16, shape (n_samples,), at `SPEECH_RATE_HZ`, with `MARGIN_S` or a little less of quiet at both ends.

    Raises:
        SynthesisError: The engine failed, or what it gave holds no sound.
        FileNotFoundError: The engine is not installed.
    """
    found = synthesise_many(voice, (Line(text, rate, pitch),))[0]
    if found is None:
        raise SynthesisError(f"{voice} gave no sound")
    return found.samples


def synthesise_many(voice: Voice, lines: Sequence[Line]) -> list[Reading | None]:
    """Read several texts, with one process for all where the engine is slow to start (festival).

    Returns:
        One for each line in order; None where it gave no sound.
    """
    match voice.engine:
        case "espeak-ng":
            return [_espeak(voice.name, line) for line in lines]
        case "flite":
            return [_flite(voice.name, line) for line in lines]
        case "festival":
            return _festival(voice.name, lines)


def phone_set(voice: Voice) -> str:
    """Name the phone set the voice's `Phone.symbol`s are from: flite and festival share one."""
    return "espeak" if voice.engine == "espeak-ng" else "radio"


def _espeak(name: str, line: Line) -> Reading | None:
    pitch = min(99, max(0, round(_ESPEAK_PITCH * (1 + math.log2(line.pitch)))))
    words_per_min = round(_ESPEAK_WORDS_PER_MIN * line.rate)
    text = _plain(line.text).replace("[[", " ")  # what follows [[ is read as phonemes
    rate_hz, samples, begun = espeak.say(name, text, words_per_min, pitch)
    ends = [at / rate_hz for _, at in begun[1:]] + [samples.size / rate_hz]
    return _heard(rate_hz, samples, [Phone(symbol, end_s) for (symbol, _), end_s in zip(begun, ends, strict=True)])


def _flite(name: str, line: Line) -> Reading | None:
    stretch, shift = f"duration_stretch={1 / line.rate:.4f}", f"f0_shift={line.pitch:.4f}"
    with tempfile.TemporaryDirectory(prefix="speech-") as made:
        file = Path(made) / "said.wav"
        command = ["flite", "-voice", name, "--setf", stretch, "--setf", shift, "-psdur", "-t", _plain(line.text), "-o", str(file)]
        said = _stdout(command).decode("latin-1")
        read = _read_riff(file.read_bytes()) if file.exists() else None
    if read is None:
        return None
    found = [item.rpartition(":") for item in said.split()]  # "hh:0.306 ax:0.365": each phone with its end in seconds
    return _heard(*read, [Phone(symbol, float(end_s)) for symbol, _, end_s in found])


_FESTIVAL_SAY: Final = """
(define (say text file segments stretch)
  (Parameter.set 'Duration_Stretch stretch)
  (let ((utt (eval (list 'Utterance 'Text text))))
    (utt.synth utt)
    (utt.save.wave utt file 'riff)
    (utt.save.segs utt segments)))
(voice_{name})
(set! voice_params (if (boundp 'hts_engine_params) hts_engine_params nil))
"""
_FESTIVAL_LINE: Final = """
(set! hts_engine_params (append voice_params (list (list "-r" {rate:.4f}))))
(say "{text}" "{file}" "{segments}" {stretch:.4f})
"""


def _festival(name: str, lines: Sequence[Line]) -> list[Reading | None]:
    """An error ends festival's script, so the line after the one at fault starts a new one."""
    found: list[Reading | None] = []
    while len(found) < len(lines):
        found += _until_error(name, lines[len(found) :])
    return found


def _until_error(name: str, lines: Sequence[Line]) -> list[Reading | None]:
    """What one process reads; the last is None where that line was at fault. Never empty.

    HTS voices take their speed from the engine's -r and ignore `Duration_Stretch`; diphone voices the other way round.
    """
    with tempfile.TemporaryDirectory(prefix="speech-") as made:
        folder = Path(made)
        files = [folder / f"{i}.wav" for i in range(len(lines))]
        script = _FESTIVAL_SAY.format(name=name) + "".join(
            _FESTIVAL_LINE.format(
                text=_in_scheme(line.text), file=file, segments=file.with_suffix(".segs"), rate=line.rate, stretch=1 / line.rate
            )
            for line, file in zip(lines, files, strict=True)
        )
        (folder / "say.scm").write_text(script, encoding="ascii")
        _stdout(["festival", "-b", str(folder / "say.scm")], n_lines=len(lines))
        found: list[Reading | None] = []
        for file in files:
            segments = file.with_suffix(".segs")  # written last
            read = _read_riff(file.read_bytes()) if segments.exists() else None
            found.append(_heard(*read, _segments(segments.read_text())) if read else None)
            if not segments.exists():
                break
        return found


def _segments(listing: str) -> list[Phone]:
    """Of "#" and then lines such as "0.2400 100 pau": end in seconds, a colour, the phone."""
    rows = [line.split() for line in listing.splitlines()]
    return [Phone(row[2], float(row[0])) for row in rows if len(row) == 3]


def _in_scheme(text: str) -> str:
    return _plain(text).replace("\\", " ").replace('"', " ")


def _plain(text: str) -> str:
    """Printable ASCII on one line: what every engine takes, and no argument can hold a zero byte."""
    return "".join(c if " " <= c <= "~" else " " for c in text)


def _stdout(command: Sequence[str], *, n_lines: int = 1) -> bytes:
    """What the engine writes; empty where it ran past its time. Its exit status says little, so the sound is judged instead."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S * n_lines, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return b""
    return done.stdout


def _heard(rate_hz: int, samples: NDArray[np.int16], phones: Sequence[Phone]) -> Reading | None:
    """The speech at our rate, trimmed, and its phones with it; None without any sound."""
    if rate_hz != SPEECH_RATE_HZ:
        shared = math.gcd(rate_hz, SPEECH_RATE_HZ)
        found = resample_poly(samples.astype(np.float32), SPEECH_RATE_HZ // shared, rate_hz // shared)
        samples = np.clip(np.rint(found), -32_768, 32_767).astype(np.int16)
    kept = _speech_within(samples)
    if kept is None:
        return None
    first, end = kept
    least = round(_LEAST_MARGIN_S * SPEECH_RATE_HZ)
    margin = round(MARGIN_S * SPEECH_RATE_HZ)
    before, after = min(first, margin), min(samples.size - end, margin)
    filled = max(0, least - before)
    trimmed = np.pad(samples[first - before : end + after], (filled, max(0, least - after)))
    shift_s = (first - before - filled) / SPEECH_RATE_HZ
    moved = tuple(Phone(phone.symbol, round(phone.end_s - shift_s, 3)) for phone in phones if phone.end_s > shift_s)
    return Reading(trimmed, moved)


def _read_riff(wav: bytes) -> tuple[int, NDArray[np.int16]] | None:
    """Rate in Hz and the samples. Read by hand: written to a pipe, a header's lengths are whatever the engine guessed."""
    at, rate_hz = 12, 0
    while at + 8 <= len(wav):
        kind, size = struct.unpack_from("<4sI", wav, at)
        at += 8
        if kind == b"fmt ":
            rate_hz = struct.unpack_from("<I", wav, at + 4)[0]
        elif kind == b"data" and rate_hz:
            data = wav[at : at + size]
            return rate_hz, np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
        at += size + size % 2
    return None


def _speech_within(samples: NDArray[np.int16]) -> tuple[int, int] | None:
    """First sample of the speech and the one past its last, in whole frames; None without any."""
    n_frames = samples.size // _FRAME_SAMPLES
    if n_frames == 0:
        return None
    frames = samples[: n_frames * _FRAME_SAMPLES].reshape(n_frames, _FRAME_SAMPLES).astype(np.float32)
    power = (frames * frames).mean(axis=1)
    if power.max() < 1.0:
        return None
    loud = np.flatnonzero(power > power.max() * 10 ** (_QUIET_DB / 10))
    return int(loud[0]) * _FRAME_SAMPLES, (int(loud[-1]) + 1) * _FRAME_SAMPLES

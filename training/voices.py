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
    return found


def synthesise_many(voice: Voice, lines: Sequence[Line]) -> list[NDArray[np.int16] | None]:
    """Read several texts, with one process for all where the engine is slow to start (festival).

    Returns:
        As `synthesise` gives, one for each line in order; None where it gave no sound.
    """
    if voice.engine == "festival":
        return _festival(voice.name, lines)
    command = _espeak_command if voice.engine == "espeak-ng" else _flite_command
    return [_heard(_stdout(command(voice.name, line))) for line in lines]


def _espeak_command(name: str, line: Line) -> list[str]:
    pitch = min(99, max(0, round(_ESPEAK_PITCH * (1 + math.log2(line.pitch)))))
    words_per_min = round(_ESPEAK_WORDS_PER_MIN * line.rate)
    text = _plain(line.text).replace("[[", " ")  # what follows [[ is read as phonemes
    return ["espeak-ng", "-v", name, "-s", str(words_per_min), "-p", str(pitch), "--stdout", " " + text]  # " ": never an option


def _flite_command(name: str, line: Line) -> list[str]:
    stretch, shift = f"duration_stretch={1 / line.rate:.4f}", f"f0_shift={line.pitch:.4f}"
    text = _plain(line.text)
    return ["flite", "-voice", name, "--setf", stretch, "--setf", shift, "-t", text, "-o", "/dev/stdout"]


_FESTIVAL_SAY: Final = """
(define (say text file stretch)
  (Parameter.set 'Duration_Stretch stretch)
  (let ((utt (eval (list 'Utterance 'Text text))))
    (utt.synth utt)
    (utt.save.wave utt file 'riff)))
(voice_{name})
(set! voice_params (if (boundp 'hts_engine_params) hts_engine_params nil))
"""
_FESTIVAL_LINE: Final = """
(set! hts_engine_params (append voice_params (list (list "-r" {rate:.4f}))))
(say "{text}" "{file}" {stretch:.4f})
"""


def _festival(name: str, lines: Sequence[Line]) -> list[NDArray[np.int16] | None]:
    """An error ends festival's script, so the line after the one at fault starts a new one."""
    found: list[NDArray[np.int16] | None] = []
    while len(found) < len(lines):
        found += _until_error(name, lines[len(found) :])
    return found


def _until_error(name: str, lines: Sequence[Line]) -> list[NDArray[np.int16] | None]:
    """What one process reads; the last is None where that line was at fault. Never empty.

    HTS voices take their speed from the engine's -r and ignore `Duration_Stretch`; diphone voices the other way round.
    """
    with tempfile.TemporaryDirectory(prefix="speech-") as made:
        folder = Path(made)
        files = [folder / f"{i}.wav" for i in range(len(lines))]
        script = _FESTIVAL_SAY.format(name=name) + "".join(
            _FESTIVAL_LINE.format(text=_in_scheme(line.text), file=file, rate=line.rate, stretch=1 / line.rate)
            for line, file in zip(lines, files, strict=True)
        )
        (folder / "say.scm").write_text(script, encoding="ascii")
        _stdout(["festival", "-b", str(folder / "say.scm")], n_lines=len(lines))
        found: list[NDArray[np.int16] | None] = []
        for file in files:
            found.append(_heard(file.read_bytes()) if file.exists() else None)
            if not file.exists():
                break
        return found


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


def _heard(wav: bytes) -> NDArray[np.int16] | None:
    """The speech of one RIFF file at our rate, trimmed; None without any."""
    read = _read_riff(wav)
    if read is None:
        return None
    rate_hz, samples = read
    if rate_hz != SPEECH_RATE_HZ:
        shared = math.gcd(rate_hz, SPEECH_RATE_HZ)
        found = resample_poly(samples.astype(np.float32), SPEECH_RATE_HZ // shared, rate_hz // shared)
        samples = np.clip(np.rint(found), -32_768, 32_767).astype(np.int16)
    return _trimmed(samples)


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


def _trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16] | None:
    n_frames = samples.size // _FRAME_SAMPLES
    if n_frames == 0:
        return None
    frames = samples[: n_frames * _FRAME_SAMPLES].reshape(n_frames, _FRAME_SAMPLES).astype(np.float32)
    power = (frames * frames).mean(axis=1)
    if power.max() < 1.0:
        return None
    loud = np.flatnonzero(power > power.max() * 10 ** (_QUIET_DB / 10))
    first, end = int(loud[0]) * _FRAME_SAMPLES, (int(loud[-1]) + 1) * _FRAME_SAMPLES
    margin, least = round(MARGIN_S * SPEECH_RATE_HZ), round(_LEAST_MARGIN_S * SPEECH_RATE_HZ)
    before, after = min(first, margin), min(samples.size - end, margin)
    kept = samples[first - before : end + after]
    return np.pad(kept, (max(0, least - before), max(0, least - after)))

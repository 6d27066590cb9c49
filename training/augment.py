"""Makes clean synthetic speech sound as if it came through rooms, wires and crowds, cheaply enough to do it anew each time.

All audio is float32 at 16 kHz within [-1, 1]. Long noises and room responses are made once per process and then cut from at
random. Nothing moves the speech against its text: a room's direct path stays at sample 0 and the filters have no phase.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from .voices import SPEECH_RATE_HZ

Samples = NDArray[np.float32]

CLEAN_SHARE: Final = 0.75  # of clips: level and padding only
_NOISY_SHARE: Final = 0.20  # of all clips, as the two below; each is drawn apart among those that are not clean
_ROOM_SHARE: Final = 0.08
_BAND_SHARE: Final = 0.07
_SNR_DB: Final = (5.0, 40.0)
_PEAK_DB: Final = (-30.0, 0.0)  # of the finished clip, below full scale
_FLOOR_DB: Final = (-90.0, -55.0)  # noise floor under a clip with no other noise, below full scale
_PADDING_S: Final = 0.4  # at most, at each end
_RT60_S: Final = (0.1, 0.5)  # time in which a room's echo falls by 60 dB
_N_ROOMS: Final = 48
_NOISE_S: Final = 60.0  # length of each stored noise
_BANDS_HZ: Final = ((300.0, 3_400.0), (0.0, 4_000.0), (0.0, 6_000.0))  # telephone, and two low-passes
_EMPTY_S: Final = (0.5, 6.0)
_EMPTY_PEAK_DB: Final = (-50.0, 0.0)
_BANK_SEED: Final = 16_000  # the banks are the same in every process


def augment(samples: Samples, rng: np.random.Generator) -> tuple[Samples, int]:
    """Degrade one clip at random; about 2 ms for 4 s of speech, measured on one busy core.

    Args:
        samples: float32, shape (n_samples,), speech at 16 kHz, not silent throughout.

    Returns:
        A new array, float32, shape (n_samples + padding,), peak at -30..0 dBFS; and the samples of padding before the speech. There
        are up to 0.4 s of padding at each end, mostly little: it is heard at the same cost as speech.
    """
    before, after = (round(_PADDING_S * share**2 * SPEECH_RATE_HZ) for share in rng.random(2))
    heard = np.zeros(before + samples.size + after, np.float32)
    heard[before : before + samples.size] = samples
    degraded = rng.random() >= CLEAN_SHARE
    room, noisy, band = rng.random(3) * (1 - CLEAN_SHARE) < (_ROOM_SHARE, _NOISY_SHARE, _BAND_SHARE)
    if degraded and room:
        heard = _in_room(heard, rng)
    if degraded and noisy:
        speech_rms = float(np.sqrt(np.dot(samples, samples) / max(samples.size, 1)))
        heard += _noise(heard.size, rng) * np.float32(speech_rms * _gain(-rng.uniform(*_SNR_DB)))
    if degraded and band:
        heard = _band_limited(heard, rng)
    heard = _at_peak(heard, rng.uniform(*_PEAK_DB))
    if not (degraded and noisy) and rng.random() < 0.5:
        heard += _noise(heard.size, rng) * np.float32(_gain(rng.uniform(*_FLOOR_DB)))
    return np.clip(heard, -1.0, 1.0, out=heard), before


def empty_clip(rng: np.random.Generator) -> Samples:
    """Sound without a word, to be trained with an empty text: silence, noise, hum, music or clicks.

    Returns:
        float32, shape (n_samples,), 0.5..6 s at 16 kHz, within [-1, 1].
    """
    n_samples = round(rng.uniform(*_EMPTY_S) * SPEECH_RATE_HZ)
    kind = rng.choice(5, p=(0.10, 0.40, 0.30, 0.12, 0.08))
    if kind == 0:
        return np.zeros(n_samples, np.float32)
    if kind == 1:
        heard = _noise(n_samples, rng)
        if rng.random() < 0.4:
            heard = heard * _swell(n_samples, rng)
    elif kind == 2:
        heard = _music(n_samples, rng)
    elif kind == 3:
        heard = _clicks(n_samples, rng)
    else:
        heard = _music(n_samples, rng) + _clicks(n_samples, rng)
    if rng.random() < 0.3:
        heard = _in_room(heard, rng)
    if rng.random() < 0.3:
        heard = _band_limited(heard, rng)
    heard = _at_peak(heard, rng.uniform(*_EMPTY_PEAK_DB))
    if rng.random() < 0.5:
        heard += _noise(n_samples, rng) * np.float32(_gain(rng.uniform(*_FLOOR_DB)))
    return np.clip(heard, -1.0, 1.0, out=heard)


def _gain(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def _at_peak(samples: Samples, peak_db: float) -> Samples:
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(_gain(peak_db) / peak) if peak > 0 else samples


@cache
def _noises() -> tuple[Samples, ...]:
    """White, pink, brown, light pink and bluish noise and mains hum of 50 and 60 Hz, each of RMS 1 and `_NOISE_S` long."""
    rng = np.random.default_rng(_BANK_SEED)
    n_samples = round(_NOISE_S * SPEECH_RATE_HZ)
    hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SPEECH_RATE_HZ), 20.0).astype(np.float32)
    made = [irfft(rfft(rng.standard_normal(n_samples, np.float32)) * hz**slope, n_samples) for slope in (0, -0.5, -1, -0.25, 0.3)]
    time_s = np.arange(n_samples) / SPEECH_RATE_HZ
    for mains_hz in (50, 60):
        hum = 0.02 * rng.standard_normal(n_samples)
        for harmonic in range(1, 13):
            hum += rng.uniform(0.2, 1) / harmonic * np.sin(2 * np.pi * (mains_hz * harmonic * time_s + rng.random()))
        made.append(hum)
    return tuple((noise / np.sqrt(np.mean(noise * noise))).astype(np.float32) for noise in made)


def _noise(n_samples: int, rng: np.random.Generator) -> Samples:
    """A stretch of RMS about 1; two noises are mixed in one case of three. What outlasts the store starts over."""
    stored = _noises()
    found = _stretch(stored[rng.integers(len(stored))], n_samples, rng)
    if rng.random() < 1 / 3:
        share = np.float32(rng.uniform(0.2, 0.8))
        other = _stretch(stored[rng.integers(len(stored))], n_samples, rng)
        found = found * np.sqrt(1 - share) + other * np.sqrt(share)
    return found


def _stretch(stored: Samples, n_samples: int, rng: np.random.Generator) -> Samples:
    at = int(rng.integers(max(1, stored.size - n_samples)))
    return stored[at : at + n_samples] if at + n_samples <= stored.size else np.resize(stored, n_samples)


@cache
def _rooms() -> tuple[Samples, ...]:
    """Impulse responses: the direct path, 1, at sample 0, then noise that decays by 60 dB in RT60, its energy 0.05..0.8."""
    rng = np.random.default_rng(_BANK_SEED + 1)
    rooms: list[Samples] = []
    for rt60_s in np.linspace(*_RT60_S, _N_ROOMS):
        n_samples = round(rt60_s * SPEECH_RATE_HZ)
        echo = rng.standard_normal(n_samples) * 10 ** (-3 * np.arange(n_samples) / n_samples)
        echo[: rng.integers(16, 160)] = 0  # first reflection after 1..10 ms
        echo = np.convolve(echo, (0.25, 0.5, 0.25), "same")  # walls swallow the highest tones first
        echo *= np.sqrt(rng.uniform(0.05, 0.8) / np.dot(echo, echo))
        echo[0] = 1
        rooms.append(echo.astype(np.float32))
    return tuple(rooms)


def _in_room(samples: Samples, rng: np.random.Generator) -> Samples:
    rooms = _rooms()
    room = rooms[rng.integers(len(rooms))]
    n_fft = next_fast_len(samples.size + room.size - 1, real=True)
    found: Samples = irfft(rfft(samples, n_fft) * rfft(room, n_fft), n_fft)[: samples.size]
    return found


def _band_limited(samples: Samples, rng: np.random.Generator) -> Samples:
    """Zero phase, so times stay; a quarter second of zeros keeps the end from ringing into the start."""
    low_hz, high_hz = _BANDS_HZ[rng.integers(len(_BANDS_HZ))]
    n_fft = next_fast_len(samples.size + SPEECH_RATE_HZ // 4, real=True)
    hz = np.arange(1, n_fft // 2 + 2, dtype=np.float32) * np.float32(SPEECH_RATE_HZ / n_fft)
    shape = 1 / np.sqrt(1 + _power(hz / np.float32(high_hz)))
    if low_hz:
        shape /= np.sqrt(1 + _power(np.float32(low_hz) / hz))
    found: Samples = irfft(rfft(samples, n_fft) * shape, n_fft)[: samples.size]
    return found


def _power(ratio: Samples) -> Samples:
    """`ratio` to the power of 16, as for a Butterworth filter of order 8, kept within float32's range."""
    squared = np.square(np.minimum(ratio, np.float32(100)))
    for _ in range(3):  # squared four times in all, which spares a pow for each bin
        squared = np.square(squared)
    return squared


def _swell(n_samples: int, rng: np.random.Generator) -> Samples:
    """A loudness that wanders between 0.05 and 1, with a turn every half second or so."""
    turns = rng.uniform(0.05, 1.0, size=2 + n_samples // (SPEECH_RATE_HZ // 2))
    curve = np.interp(np.linspace(0, turns.size - 1, n_samples), np.arange(turns.size), turns)
    return curve.astype(np.float32)


def _music(n_samples: int, rng: np.random.Generator) -> Samples:
    """A melody of a scale over slower chords, every tone a few harmonics that decay."""
    heard = np.zeros(n_samples, np.float32)
    root_hz = 110.0 * 2 ** rng.uniform(0, 1)
    scale = np.array((0, 2, 4, 5, 7, 9, 11, 12) if rng.random() < 0.5 else (0, 2, 3, 5, 7, 8, 10, 12))
    beat = round(rng.uniform(0.15, 0.6) * SPEECH_RATE_HZ)
    decay_s = rng.uniform(0.1, 1.0)
    strengths = rng.uniform(0.1, 1.0, size=5) / np.arange(1, 6)
    for i, at in enumerate(range(0, n_samples, beat)):
        if rng.random() < 0.8:
            _strike(heard, at, 2 * root_hz * 2 ** (rng.choice(scale) / 12), 2 * beat, decay_s, strengths)
        if i % 4 == 0:
            step = int(rng.integers(4))
            for degree in (step, step + 2, step + 4):
                note = scale[degree % 7] + 12 * (degree // 7)
                _strike(heard, at, root_hz * 2 ** (note / 12), 4 * beat, 2 * decay_s, strengths * 0.5)
    return heard


def _strike(  # noqa: PLR0917  # a note: where, how high, how long, how loud
    heard: Samples, at: int, tone_hz: float, n_samples: int, decay_s: float, strengths: NDArray[np.float64]
) -> None:
    """Add one tone in place, from sample `at`, at most `n_samples` long."""
    n_samples = min(n_samples, heard.size - at)
    time_s = np.arange(n_samples, dtype=np.float32) / np.float32(SPEECH_RATE_HZ)
    tone = np.zeros(n_samples, np.float32)
    for harmonic, strength in enumerate(strengths, start=1):
        if tone_hz * harmonic < SPEECH_RATE_HZ / 2:
            tone += np.float32(strength) * np.sin(np.float32(2 * np.pi * tone_hz * harmonic) * time_s)
    heard[at : at + n_samples] += tone * np.exp(-time_s / np.float32(decay_s)) * np.minimum(1, time_s / np.float32(0.005))


def _clicks(n_samples: int, rng: np.random.Generator) -> Samples:
    """Up to eight knocks a second, each a burst of noise that dies within 1..40 ms."""
    heard = np.zeros(n_samples, np.float32)
    for at in rng.integers(0, n_samples, size=1 + int(rng.integers(8 * n_samples // SPEECH_RATE_HZ + 1))):
        length = min(n_samples - int(at), round(rng.uniform(0.005, 0.2) * SPEECH_RATE_HZ))
        burst = rng.standard_normal(length, np.float32) * np.exp(-5 * np.arange(length, dtype=np.float32) / length)
        heard[at : at + length] += burst * np.float32(rng.uniform(0.1, 1.0))
    return heard

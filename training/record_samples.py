"""Have the test sentences read once: the recordings of `tests/data` and the demo's sample in the package.

Run again only where a sentence or a voice changes: `python -m training.record_samples`. Needs espeak-ng, flite and festival with
festvox-us-slt-hts. No training sentence is among the texts; the voices are all heard in training.
"""

import json
import wave
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from .voices import KNOWN_EVALUATION_VOICES, SPEECH_RATE_HZ, Voice, synthesise

_ROOT: Final = Path(__file__).parent.parent
_SENTENCES: Final = _ROOT / "training" / "test_sentences.txt"
_RECORDINGS: Final = _ROOT / "tests" / "data"
_SAMPLES: Final = _ROOT / "app" / "samples"
_CLEAR: Final = ("flite:slt", "espeak-ng:en-us", "flite:rms", "festival:cmu_us_slt_arctic_hts")
_EVERY_NTH_OTHER: Final = 6  # each so many sentences one of the other known voices reads
_CHUNK_SAMPLES: Final = 4_096


def voices_for(n_sentences: int) -> list[Voice]:
    """The clear voices in turn, the first sentence by flite's slt; every sixth sentence by one of the others in turn."""
    clear = [voice for name in _CLEAR for voice in KNOWN_EVALUATION_VOICES if str(voice) == name]
    others = [voice for voice in KNOWN_EVALUATION_VOICES if voice not in clear]
    found: list[Voice] = []
    for i in range(n_sentences):
        round_, last = divmod(i, _EVERY_NTH_OTHER)
        found.append(others[round_ % len(others)] if last == _EVERY_NTH_OTHER - 1 else clear[(i - round_) % len(clear)])
    return found


def write_flac(path: Path, samples: NDArray[np.int16]) -> None:
    """Write one channel at `SPEECH_RATE_HZ`, compressed as far as FLAC goes, with no tag that changes from run to run."""
    with av.open(str(path), "w", format="flac", container_options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("flac", rate=SPEECH_RATE_HZ, options={"compression_level": "12"})
        stream.layout = "mono"
        stream.format = "s16"
        for at in range(0, samples.size, _CHUNK_SAMPLES):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + _CHUNK_SAMPLES], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SPEECH_RATE_HZ, at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    """Write one channel at `SPEECH_RATE_HZ`."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SPEECH_RATE_HZ)
        out.writeframes(samples.astype("<i2").tobytes())


def main() -> None:
    texts = _SENTENCES.read_text(encoding="utf-8").split("\n")
    texts = [text.strip() for text in texts if text.strip()]
    index: list[dict[str, str]] = []
    _RECORDINGS.mkdir(parents=True, exist_ok=True)
    _SAMPLES.mkdir(parents=True, exist_ok=True)
    for i, (text, voice) in enumerate(zip(texts, voices_for(len(texts)), strict=True)):
        samples, name = synthesise(voice, text), f"{i + 1:02}"
        write_flac(_RECORDINGS / f"{name}.flac", samples)
        index.append({"name": name, "text": text, "voice": str(voice)})
        if i == 0:
            write_wav(_SAMPLES / "hello.wav", samples)
            (_SAMPLES / "hello.txt").write_text(f"{text}\n", encoding="utf-8")
    (_RECORDINGS / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

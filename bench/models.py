"""The model to measure: the bundled one, any `.nemo` file, or Parakeet-TDT 0.6B's architecture with random weights.

Random weights cost what real ones cost, except that they decide how many tokens are decoded. So the output biases are set
until greedy decoding of the benchmark's clips writes as many tokens per second as speech has.

`python -m bench.models FILE CLIP...` builds one.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from training.architecture import DURATIONS, EncDecRNNTBPEModel, Shape, learn_pieces, new_model

from .child import ROOT, BenchError, last_lines
from .clips import ClipFile, read_wav

FULL: Final = "full"
SPEECH_TOKENS_PER_S: Final = 3.3  # about what Parakeet writes of read English
_STEPS: Final = 20  # of the bisection
_NEVER: Final = -1_000.0  # a bias nothing outweighs
_TEXT_WEIGHT: Final = 0.3  # of the prediction network beside the encoder; chosen so that the rate changes smoothly
_FULL_FILE: Final = "parakeet-tdt-0.6b-random.nemo"


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside a model that was built."""

    shape: Shape
    seed: int
    parameters: int
    tokens_per_audio_s: float
    blank_bias: float


def find_model(asked: str, work: Path, clips: Sequence[ClipFile]) -> str:
    """Return what the service takes as its model; `full` is built once and kept in `work`, 2.5 GB.

    Raises:
        BenchError: It cannot be built.
    """
    if asked != FULL:
        return str(Path(asked).resolve()) if Path(asked).suffix == ".nemo" else asked
    path = (work / _FULL_FILE).resolve()
    if not path.exists():
        log_path = path.with_suffix(".log")
        command = [sys.executable, "-m", "bench.models", str(path), *(clip.path for clip in clips)]
        with log_path.open("wb") as log:
            built = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
        if built.returncode:
            raise BenchError(f"building {path.name} failed:\n{last_lines(log_path)}")
    return str(path)


def build(path: Path, clips: Sequence[str], *, shape: Shape, seed: int = 0) -> Built:
    """Build a model of random weights, set its biases on `clips`, and write it to `path` with `Built` beside it."""
    import torch

    from app.adapters.nemo.quiet import quiet

    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder, quiet(), torch.inference_mode():
        model = new_model(shape, _pieces(Path(folder) / "pieces", shape.pieces)).eval()
        blank_bias, rate = _steady(model, clips)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.nemo")
        model.save_to(str(unfinished))
    built = Built(shape=shape, seed=seed, parameters=parameters, tokens_per_audio_s=rate, blank_bias=blank_bias)
    path.with_suffix(".json").write_bytes(msgspec.json.encode(built) + b"\n")
    unfinished.rename(path)  # last: a file of that name is whole
    return built


def bisect(rate_at: Callable[[float], float], wanted: float, low: float, high: float, steps: int = _STEPS) -> float:
    """Find where a falling function comes nearest to `wanted` between `low` and `high`, among the points tried."""
    best = (abs(rate_at(low) - wanted), low)
    for _ in range(steps):
        middle = (low + high) / 2
        rate = rate_at(middle)
        best = min(best, (abs(rate - wanted), middle))
        low, high = (middle, high) if rate > wanted else (low, middle)
    return best[1]


def _pieces(folder: Path, n_pieces: int) -> Path:
    """Learn byte pairs from this repository's own English; what they are does not matter, how many does."""
    sources = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("app/**/*.py"), *ROOT.glob("tests/**/*.py")])
    return learn_pieces([source.read_text() for source in sources], folder, n_pieces)


def _steady(model: EncDecRNNTBPEModel, clips: Sequence[str]) -> tuple[float, float]:
    """Set the joint so that speech makes the usual number of tokens; returns the blank's bias and the number per second.

    With plain random weights every frame gives nearly the same output, so that decoding either never or always writes. Here
    frames are spread to a mean of 0 and a deviation of 1 where they enter the joint, with the text so far weighing less, and
    outputs to a mean of 0, so that pieces and durations vary with what is heard as a trained model's do. A duration of 0 is
    forbidden, which random weights would repeat up to the limit.
    """
    import torch

    encoded, audio_s = [], 0.0
    for path in clips:
        samples = torch.from_numpy(read_wav(path).copy())[None]
        encoded.append(model(input_signal=samples, input_signal_length=torch.tensor([samples.shape[1]])))
        audio_s += samples.shape[1] / 16_000
    joint = model.joint
    frames = torch.cat([outputs.transpose(1, 2) for outputs, _ in encoded], dim=1)
    _spread(joint.enc, frames, 1.0)
    said_nothing, _ = model.decoder.predict(None, None, add_sos=False, batch_size=1)
    joint.pred.weight *= _TEXT_WEIGHT
    outputs = joint.joint(frames, said_nothing)
    bias = joint.joint_net[-1].bias
    bias -= outputs.mean(dim=(0, 1, 2))
    labels = outputs.shape[-1] - len(DURATIONS)  # the pieces, then the blank, then the durations
    bias[labels] = _NEVER
    even = float(bias[labels - 1])  # with it the blank is as likely as a piece

    def rate_at(blank_bias: float) -> float:
        bias[labels - 1] = blank_bias
        said = [model.decoding.rnnt_decoder_predictions_tensor(*heard, return_hypotheses=True)[0] for heard in encoded]
        return sum(len(hypothesis.y_sequence) for hypothesis in said) / audio_s

    reach = 20 * float(outputs[..., :labels].std(dim=1).mean())
    found = bisect(rate_at, SPEECH_TOKENS_PER_S, even - reach, even + reach)
    return found, rate_at(found)


def _spread(layer: Any, inputs: Any, deviation: float) -> None:
    """Change a linear layer so that its outputs for `inputs`, shape (1, n, width), have mean 0 and that deviation."""
    outputs = layer(inputs)
    factor = deviation / float((outputs - outputs.mean(dim=1)).std())
    layer.bias -= outputs.mean(dim=(0, 1))
    layer.weight *= factor
    layer.bias *= factor


def main() -> None:
    """Build one model from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.models", description="Build a model of random weights.")
    parser.add_argument("path", type=Path, help="The .nemo file to write.")
    parser.add_argument("clips", nargs="+", help="WAV files, 16 kHz, mono: speech to set the token rate on.")
    parser.add_argument("--seed", type=int, default=0)
    for field in msgspec.structs.fields(Shape):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    given = vars(parser.parse_args())
    shape = Shape(**{field: given.pop(field) for field in Shape.__struct_fields__})
    built = build(given["path"], given["clips"], shape=shape, seed=given["seed"])
    print(f"{given['path']}: {built.parameters / 1e6:.1f} M parameters, {built.tokens_per_audio_s:.2f} tokens/s", flush=True)


if __name__ == "__main__":
    main()

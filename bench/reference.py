"""The rows without a service, each in a process of its own: the bare model call, and NeMo's own `transcribe()`.

`python -m bench.reference bare|nemo MODEL DEVICE PRECISION`, a child of the benchmark.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from app.adapters.nemo.quiet import quiet
from app.adapters.nemo.recognizer import NemoRecognizer
from app.adapters.nemo.source import locate
from app.domain.audio import Clip
from app.domain.ports import Options

from .child import work
from .clips import read_wav
from .profile import Profile, ProfileJob, profile
from .statistics import fingerprint

if TYPE_CHECKING:
    import torch

Model = Any  # NeMo ships no types
Said = tuple[str, int]  # a text and its number of tokens


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The greeting: what was loaded."""

    model_id: str
    device: str
    device_name: str
    precision: str
    parameters: int
    versions: dict[str, str]


class RunJob(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Transcribe these files; `batch_size` 0 is one call for each, else one call for all, sorted by length."""

    paths: list[str]
    batch_size: int = 0


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What it took. `texts` are fingerprints in the order of the job's paths."""

    wall_s: float
    call_s: list[float]
    tokens: int
    texts: list[int]
    device_memory_mb: float | None


class BareCall:
    """The service's recogniser called directly, one clip at a time: preprocessor, encoder, decoder."""

    def __init__(self, model: str, device: str, precision: str) -> None:
        self.recognizer = NemoRecognizer(model, device=device, precision=precision)
        self.model: Model = self.recognizer._model
        facts = self.recognizer.facts
        self.model_id, self.device, self.precision = facts.model_id, facts.device, facts.precision

    def transcribe(self, clips: Sequence[Clip], batch_size: int) -> list[Said]:
        said: list[Said] = []
        step = max(1, batch_size)
        for start in range(0, len(clips), step):
            batch = clips[start : start + step]
            transcripts = self.recognizer.recognize(batch, [Options()] * len(batch))
            said += [(transcript.text, len(transcript.tokens)) for transcript in transcripts]
        return said


class NemoTranscribe:
    """NeMo's `transcribe()` on arrays that are decoded already: the reading of files is not charged to it.

    On CUDA the whole model has the precision, as in NeMo's own transcribe_speech.py (`compute_dtype`). On a CPU the encoder
    has it, and features and decoder stay float32, which is what the service does there.
    """

    def __init__(self, model: str, device: str, precision: str) -> None:
        import torch

        source = locate(model)
        with quiet():
            from nemo.collections.asr.models import ASRModel

            self.model: Model = ASRModel.restore_from(str(source.path), map_location="cpu").float().eval()
        self.model_id, self.device, self.precision = source.model_id, device, precision
        self._move(torch.device(device), getattr(torch, precision))

    def transcribe(self, clips: Sequence[Clip], batch_size: int) -> list[Said]:
        found = self.model.transcribe(
            audio=[clip.samples for clip in clips], batch_size=max(1, batch_size), return_hypotheses=True, verbose=False
        )
        return [(hypothesis.text, len(hypothesis.y_sequence)) for hypothesis in found]

    def _move(self, device: "torch.device", dtype: "torch.dtype") -> None:
        if device.type == "cuda":
            self.model.to(device=device, dtype=dtype)
            return
        encoder = self.model.encoder.to(dtype)

        def cast_in(_module: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return arguments, named | {"audio_signal": named["audio_signal"].to(dtype)}

        def cast_out(_module: object, _arguments: object, encoded: tuple[Any, ...]) -> tuple[Any, ...]:
            return encoded[0].float(), *encoded[1:]

        encoder.register_forward_pre_hook(cast_in, with_kwargs=True)
        encoder.register_forward_hook(cast_out)


def run(reference: BareCall | NemoTranscribe, job: RunJob) -> Ran:
    """Do a job; the files are read before the clock starts."""
    clips = [Clip(read_wav(path)) for path in job.paths]
    texts, call_s, tokens = [0] * len(clips), [], 0
    order = sorted(range(len(clips)), key=lambda i: -clips[i].samples.size) if job.batch_size else range(len(clips))
    calls = [list(order)] if job.batch_size else [[i] for i in order]
    began_s = time.perf_counter()
    for call in calls:
        called_s = time.perf_counter()
        said = reference.transcribe([clips[i] for i in call], job.batch_size)
        call_s.append(time.perf_counter() - called_s)
        for i, (text, n_tokens) in zip(call, said, strict=True):
            texts[i] = fingerprint(text)
            tokens += n_tokens
    wall_s = time.perf_counter() - began_s
    return Ran(wall_s=wall_s, call_s=call_s, tokens=tokens, texts=texts, device_memory_mb=_device_memory_mb())


def _device_memory_mb() -> float | None:
    import torch

    return torch.cuda.max_memory_reserved() / 1e6 if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]  # torch's own


def _ready(reference: BareCall | NemoTranscribe) -> Ready:
    import nemo
    import torch

    on_cuda = reference.device.startswith("cuda")
    return Ready(
        model_id=reference.model_id,
        device=reference.device,
        device_name=torch.cuda.get_device_name(reference.device) if on_cuda else "",
        precision=reference.precision,
        parameters=sum(parameter.numel() for parameter in reference.model.parameters()),
        versions={"torch": str(torch.__version__), "nemo": str(nemo.__version__), "torch threads": str(torch.get_num_threads())},
    )


def _start(kind: str, model: str, device: str, precision: str) -> tuple[Ready, Callable[[RunJob | ProfileJob], Ran | Profile]]:
    reference = (BareCall if kind == "bare" else NemoTranscribe)(model, device, precision)

    def do(job: RunJob | ProfileJob) -> Ran | Profile:
        if isinstance(job, RunJob):
            return run(reference, job)
        if isinstance(reference, BareCall):
            return profile(reference.recognizer, job)
        raise TypeError("only the bare call is profiled")

    return _ready(reference), do


if __name__ == "__main__":
    work(RunJob | ProfileJob, lambda: _start(*sys.argv[1:]))

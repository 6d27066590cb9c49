"""The recogniser on NeMo: any transducer `.nemo` model with full attention, Parakeet-TDT by default.

The model is called directly, not through `model.transcribe()`: that builds a manifest and a DataLoader per call,
freezes and unfreezes the modules, and leaves them in train mode. The text is the same.
"""

import tarfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from ...domain.audio import MODEL_RATE_HZ, SHORTEST_CLIP_S, Clip, Samples
from ...domain.errors import ModelUnavailableError
from ...domain.ports import DeviceMemory, Options, RecognizerFacts
from ...domain.transcript import Transcript
from . import cpu, cuda
from .decoding import Decoded, Decoder, Model
from .device import device_of
from .quiet import quiet
from .source import Progress, locate, unheard

if TYPE_CHECKING:
    import torch

_LEAST_SAMPLES: Final = round(SHORTEST_CLIP_S * MODEL_RATE_HZ)  # less gives too few frames to normalise: zeros fill it up


class NemoRecognizer:
    """A loaded and warm model; its constructor takes as long as that takes."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        precision: str = "auto",
        languages: tuple[str, ...] = ("en",),
        step_back: bool = False,
        on_progress: Progress = unheard,
    ) -> None:
        """Find, check, restore and warm up a model.

        Args:
            model: As `locate` takes it.
            device: `auto` (CUDA if there is one), `cpu`, `cuda` or `cuda:N`.
            precision: Of the weights: `auto`, `float32`, `bfloat16` or, on CUDA, `float16`. Features are float32
                always; on a CPU the decoder is too. `auto` is bfloat16 on CUDA (float16 where the device lacks it);
                on a CPU it is bfloat16 for a large model if the processor has the instructions, by its flags and
                never by timing, so that the text is the same after a restart.
            languages: What the model knows, ISO 639-1; a `.nemo` file does not say.
            step_back: The calling thread is the one that will run the model, and does nothing else: on a CPU it steps back behind
                all others, for good, and so do the threads that torch has it start.
            on_progress: Hears what `locate` says and then `model_loaded`.

        Raises:
            ModelUnavailableError: The model, the device or the precision cannot be had, or the file is no such model.
        """
        self._device = device_of(device, precision)  # first: a download of gigabytes for a device that is not there helps nobody
        import torch  # late: it takes seconds to load

        self._torch = torch
        source = locate(model, on_progress=on_progress)
        with quiet():
            self._model = _restored(source.path)
            self._decoder = Decoder(self._model)
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        if precision == "auto":
            precision = cuda.best_precision() if self._on_cuda else cpu.best_precision(self._model)
        self._dtype: torch.dtype = getattr(torch, precision)
        if self._on_cuda:
            cuda.place(self._model, self._device, self._dtype)
        else:
            if step_back:
                cpu.step_back()
            cpu.place(self._model, self._dtype)
        self._facts = RecognizerFacts(
            model_id=source.model_id,
            languages=languages,
            longest_clip_s=min(source.longest_clip_s, cuda.LONGEST_CLIP_S if self._on_cuda else cpu.LONGEST_CLIP_S),
            batch_padded_s=cuda.BATCH_PADDED_S if self._on_cuda else cpu.BATCH_PADDED_S,
            # On a CPU one thread does all: a second one has OpenMP threads of its own, and where those of both are more than the
            # cores, none waits for the next piece of work by spinning any more. Single requests took 1.1 to 1.2 times as long.
            max_concurrent_batches=2 if self._on_cuda else 1,
            prepares_ahead=self._on_cuda,
            device=str(self._device),
            precision=precision,
            demonstration=source.demonstration,
        )
        # A CUDA device runs one batch at a time, while the next one's tensors are made: capturing a graph bears no work beside it.
        self._running = threading.Lock()
        self._warm_up()
        on_progress(
            "model_loaded",
            model_id=source.model_id,
            device=str(self._device),
            precision=precision,
            parameters=parameters,
            demonstration=source.demonstration,
            cuda_graphs=cuda.graphs_of(self._model) if self._on_cuda else "off",
        )

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        """Return the model's resolved configuration as plain mappings, lists and scalars."""
        from omegaconf import OmegaConf

        return cast("dict[str, Any]", OmegaConf.to_container(self._model.cfg, resolve=True, enum_to_str=True))

    def device_memory(self) -> DeviceMemory | None:
        """Return how full the CUDA device is, None on a CPU."""
        return cuda.memory_of(self._device) if self._on_cuda else None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        """Transcribe a batch, as the port says.

        A clip of zeros alone gives no token without waking the model. Shorter clips than the model can hear are
        filled up with zeros. In float32 a clip's text is the same alone and in any batch.
        """
        said = [Transcript() for _ in clips]
        awake = [i for i, clip in enumerate(clips) if clip.samples.any()]
        if awake:
            keywords = [options[i].keywords for i in awake]
            for i, decoded in zip(awake, self._decoded([clips[i].samples for i in awake], keywords), strict=True):
                said[i] = self._decoder.transcript(decoded, duration_s=clips[i].duration_s)
        return said

    def _decoded(self, waves: Sequence[Samples], keywords: Sequence[tuple[str, ...]]) -> list[Decoded]:
        lengths = np.array([max(wave.size, _LEAST_SAMPLES) for wave in waves], np.int64)
        padded = np.zeros((len(waves), int(lengths.max())), np.float32)
        for row, wave in zip(padded, waves, strict=True):
            row[: wave.size] = wave
        with cuda.watched() if self._on_cuda else nullcontext():
            signal, n_samples = self._moved(padded), self._moved(lengths)  # watched: the first that a lost device fails
            with self._running, self._torch.inference_mode():
                features, n_features = self._model.preprocessor(input_signal=signal, length=n_samples)
                encoded, n_frames = self._model.encoder(audio_signal=features.to(self._dtype), length=n_features)
                return self._decoder.decoded(encoded.to(self._decoder_dtype), n_frames, keywords)

    @property
    def _on_cuda(self) -> bool:
        return self._device.type == "cuda"

    @property
    def _decoder_dtype(self) -> "torch.dtype":
        return self._dtype if self._on_cuda else self._torch.float32

    def _moved(self, array: np.ndarray[Any, Any]) -> "torch.Tensor":
        tensor = self._torch.from_numpy(array)
        return cuda.moved(tensor, self._device) if self._on_cuda else tensor

    def _warm_up(self) -> None:
        n_clips, clip_s = cuda.WARM_UP if self._on_cuda else (1, 1.0)
        noise = np.random.default_rng(0).normal(0.0, 0.01, round(clip_s * MODEL_RATE_HZ)).astype(np.float32)
        self._decoded([noise] * n_clips, [()] * n_clips)


def _restored(path: Path) -> Model:
    """Restore a transducer in float32 on the CPU, ready to listen: no gradient, no dither, no padding of features."""
    if not tarfile.is_tarfile(path):
        raise ModelUnavailableError(
            f"{path.name} is not a NeMo model: a .nemo file is a tar archive; set STT_MODEL to one that is whole"
        )
    from nemo.collections.asr.models import ASRModel, EncDecRNNTBPEModel

    try:
        model = ASRModel.restore_from(str(path), map_location="cpu")
    except Exception as exc:  # whatever a stranger's archive makes NeMo, torch, OmegaConf or SentencePiece raise
        raise ModelUnavailableError(
            f"{path.name} cannot be restored as a NeMo speech model ({type(exc).__name__}: {exc}); set STT_MODEL to another"
        ) from exc
    if not isinstance(model, EncDecRNNTBPEModel):
        raise ModelUnavailableError(
            f"{path.name} holds a {type(model).__name__}; this service runs transducers (EncDecRNNTBPEModel)"
        )
    if (rate_hz := model.cfg.preprocessor.sample_rate) != MODEL_RATE_HZ:
        raise ModelUnavailableError(f"{path.name} hears audio at {rate_hz} Hz, and this service works at {MODEL_RATE_HZ} Hz")
    model.float().eval()
    model.requires_grad_(False)
    featurizer = model.preprocessor.featurizer
    featurizer.dither, featurizer.pad_to = 0.0, 0
    return model

"""The training loop: the transducer loss, easy speech first.

The learning rate rises, then falls to zero along a cosine over the hours of speech asked for. A CTC loss on the
encoder was tried and dropped, alone as a warm-up and beside the transducer loss: 8 pieces a second hardly fit into
12.5 frames, and after 28 hours of speech it stood at 4.1 nats a piece where the transducer was at 2.4.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from .augment import augment, empty_clip
from .model import EncDecRNNTBPEModel
from .speech import SpeechSet, load
from .tdt_loss import tdt_loss

SAMPLE_RATE_HZ: Final = 16_000
BATCH_S: Final = 48.0  # padded seconds a step
POOL_CLIPS: Final = 1_500  # drawn at random, then cut into batches of like length
EMPTY_SHARE: Final = 0.03  # of the clips: silence, noise, music; nothing to write
PEAK_RATE: Final = 2e-3
WARM_UP_HOURS: Final = 2.0  # of speech heard, as all hours here
EASY_HOURS: Final = 10.0  # at first short and clean clips; after these hours all of them, all augmented
EASY_LONGEST_S: Final = 3.0
CHECKPOINT_STEPS: Final = 200
GRADIENT_NORM: Final = 1.0
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # <malloc.h>


def keep_freed_memory() -> None:
    """Have glibc keep what it frees instead of giving every large block back to the kernel.

    Otherwise each step maps and clears its activations anew: element-wise operations ran at 2 GB/s instead of
    17 GB/s on two virtual cores (2026-11). Elsewhere than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20)):
            mallopt(parameter, value)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to train: `hours` of speech to hear in all, repeats counted; `seed` fixes order, voices' noise and weights."""

    hours: float
    seed: int


class _Batches(IterableDataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Endless batches of augmented clips; each pass opens the store anew, so shards still being spoken join in."""

    def __init__(self, folder: Path, tokenizer: Any, *, seed: int, heard_s: float) -> None:
        self._folder, self._tokenizer, self._seed, self._heard_s = folder, tokenizer, seed, heard_s

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        torch.set_num_threads(1)
        rng = np.random.default_rng(self._seed)
        heard_s = self._heard_s
        while True:
            speech = load(self._folder)
            ids = [self._tokenizer.text_to_ids(text) for text in speech.texts]
            order = rng.permutation(len(speech))
            for first in range(0, len(order), POOL_CLIPS):
                pool = order[first : first + POOL_CLIPS]
                eased = min(1.0, heard_s / (3600 * EASY_HOURS))
                if eased < 1:
                    longest_s = EASY_LONGEST_S / (1.001 - eased)
                    pool = pool[speech.n_samples[pool] < longest_s * SAMPLE_RATE_HZ]
                batches = list(_of_like_length(pool, speech.n_samples))
                for i in rng.permutation(len(batches)):
                    batch = _batch(batches[i], speech, ids, rng, augmented=eased)
                    heard_s += batch[0].numel() / SAMPLE_RATE_HZ
                    yield batch


def _of_like_length(pool: NDArray[np.int64], n_samples: NDArray[np.int64]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in sorted(pool.tolist(), key=lambda i: int(n_samples[i])):
        if batch and (len(batch) + 1) * int(n_samples[i]) > BATCH_S * SAMPLE_RATE_HZ:
            yield batch
            batch = []
        batch.append(i)
    yield batch


def _batch(
    clips: list[int], speech: SpeechSet, ids: list[list[int]], rng: np.random.Generator, *, augmented: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    heard: list[NDArray[np.float32]] = []
    said: list[list[int]] = []
    for i in clips:
        if rng.random() < EMPTY_SHARE:
            heard.append(empty_clip(rng))
            said.append([])
        else:
            samples = speech.clip(i)
            heard.append(augment(samples, rng) if rng.random() < augmented else samples)
            said.append(ids[i])
    longest = max(len(samples) for samples in heard)
    signal = np.zeros((len(heard), longest), np.float32)
    labels = np.zeros((len(said), max(1, *(len(pieces) for pieces in said))), np.int64)
    for row, (samples, pieces) in enumerate(zip(heard, said, strict=True)):
        signal[row, : len(samples)] = samples
        labels[row, : len(pieces)] = pieces
    return (
        torch.from_numpy(signal),
        torch.tensor([len(samples) for samples in heard]),
        torch.from_numpy(labels),
        torch.tensor([len(pieces) for pieces in said]),
    )


class Trainer:
    """One run: a model, its optimiser, and how many seconds of speech were heard."""

    def __init__(self, model: EncDecRNNTBPEModel, plan: Plan, checkpoint: Path) -> None:
        self._model, self._plan, self._checkpoint = model, plan, checkpoint
        decayed = [p for p in model.parameters() if p.dim() > 1]
        plain = [p for p in model.parameters() if p.dim() <= 1]
        self._optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 1e-3}, {"params": plain, "weight_decay": 0.0}],
            lr=PEAK_RATE, betas=(0.9, 0.98), fused=True,
        )  # fmt: skip
        self.heard_s = 0.0
        if checkpoint.exists():
            self._resume()

    def run(self, speech: Path) -> None:
        """Train until the plan's hours are heard, leaving a checkpoint every `CHECKPOINT_STEPS` steps and at the end."""
        keep_freed_memory()
        model, step, shown = self._model, 0, math.nan
        model.train()
        # Another seed after a resume: the same clips in the same noise again would teach less.
        batches = _Batches(speech, model.tokenizer, seed=self._plan.seed + int(self.heard_s), heard_s=self.heard_s)
        with _progress() as progress:
            task = progress.add_task("train", total=self._plan.hours, loss=shown)
            for signal, n_samples, labels, n_labels in DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8):
                if self.heard_s >= self._plan.hours * 3600:
                    break
                loss = self._step(signal, n_samples, labels, n_labels)
                step += 1
                self.heard_s += signal.numel() / SAMPLE_RATE_HZ
                shown = loss if math.isnan(shown) else shown + 0.02 * (loss - shown)
                progress.update(task, completed=self.heard_s / 3600, loss=shown)
                if step % CHECKPOINT_STEPS == 0:
                    self._save()
                    progress.console.print(f"{self.heard_s / 3600:.1f} h heard, {shown:.3f} nats a piece")
        self._save()

    def _step(self, signal: Tensor, n_samples: Tensor, labels: Tensor, n_labels: Tensor) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        model = self._model
        with torch.no_grad():
            features, n_features = model.preprocessor(input_signal=signal, length=n_samples)
            features = model.spec_augmentation(input_spec=features, length=n_features)
        encoded, n_frames = model.encoder(audio_signal=features, length=n_features)
        encoded = encoded.transpose(1, 2)
        pieces = max(1, int(n_labels.sum()))
        predicted, _, _ = model.decoder(targets=labels, target_length=n_labels)
        f = model.joint.project_encoder(encoded)
        g = model.joint.project_prednet(predicted.transpose(1, 2))
        losses = tdt_loss(model.joint.joint_net(f[:, :, None] + g[:, None]), labels, n_frames.long(), n_labels)
        loss = losses[losses.isfinite()].sum() / pieces
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM).isfinite():
            self._optimiser.step()
        return float(loss.detach())

    def _rate(self) -> float:
        hours = self.heard_s / 3600
        done = min(1.0, hours / self._plan.hours)
        return PEAK_RATE * min(1.0, (hours + 0.02) / WARM_UP_HOURS) * (0.5 * (1 + math.cos(math.pi * done)) + 1e-3)

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(), "optimiser": self._optimiser.state_dict(), "heard_s": self.heard_s,
        }  # fmt: skip
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.heard_s = state["heard_s"]
        Console(stderr=True).print(f"going on after {self.heard_s / 3600:.1f} h of speech")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f}/{task.total:.0f} h of speech"),
        TextColumn("{task.fields[loss]:.3f} nats a piece"), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), refresh_per_second=1,
    )  # fmt: skip

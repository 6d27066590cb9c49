"""The training loop: the transducer loss, and beside it the phones of each frame (see `phones.py`); easy speech first.

The learning rate rises, then falls to zero along a cosine over the hours of speech asked for. A CTC loss on the
encoder was tried and dropped, alone as a warm-up and beside the transducer loss: 8 pieces a second hardly fit into
12.5 frames, and after 28 hours of speech it stood at 4.1 nats a piece where the transducer was at 2.4.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset

from .augment import augment, empty_clip
from .model import EncDecRNNTBPEModel
from .phones import FRAME_S, IGNORED, Inventory, PhoneHead
from .speech import SpeechSet, load
from .tdt_loss import tdt_loss

SAMPLE_RATE_HZ: Final = 16_000
BATCH_S: Final = 24.0  # padded seconds a step
POOL_CLIPS: Final = 1_500  # drawn at random, then cut into batches of like length
EMPTY_SHARE: Final = 0.03  # of the clips: silence, noise, music; nothing to write
PEAK_RATE: Final = 1.5e-3
WARM_UP_HOURS: Final = 1.0  # of speech heard, as all hours here
PHONE_LAYER: Final = 3  # of 0..5: the layers above learn to spell
PHONE_WEIGHT: Final = 3.0  # nats a half frame against nats a piece
EASY_HOURS: Final = 4.0  # at first short and clean clips; after these hours all of them, all augmented
EASY_LONGEST_S: Final = 3.0
CHECKPOINT_STEPS: Final = 400
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


class _Batch(NamedTuple):
    signal: Tensor  # float32, (batch, n_samples)
    n_samples: Tensor
    labels: Tensor  # int64, (batch, n_labels)
    n_labels: Tensor
    phones: Tensor  # int64, (batch, n_frames, TARGETS_PER_FRAME)
    allowed: Tensor  # bool, (batch, n_phones)


class _Batches(IterableDataset[_Batch]):
    """Endless batches of augmented clips; each pass opens the store anew, so shards still being spoken join in."""

    def __init__(self, folder: Path, tokenizer: Any, inventory: Inventory, *, seed: int, heard_s: float) -> None:
        self._folder, self._tokenizer, self._inventory, self._seed, self._heard_s = folder, tokenizer, inventory, seed, heard_s

    def __iter__(self) -> Iterator[_Batch]:
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
                    batch = _batch(batches[i], speech, ids, self._inventory, rng, augmented=eased)
                    heard_s += batch.signal.numel() / SAMPLE_RATE_HZ
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
    clips: list[int], speech: SpeechSet, ids: list[list[int]], inventory: Inventory, rng: np.random.Generator, *, augmented: float
) -> _Batch:
    heard: list[NDArray[np.float32]] = []
    said: list[list[int]] = []
    phones: list[NDArray[np.int64]] = []
    allowed: list[NDArray[np.bool_]] = []
    for i in clips:
        begin = 0
        if empty := rng.random() < EMPTY_SHARE:
            samples = empty_clip(rng)
        else:
            samples = speech.clip(i)
            if rng.random() < augmented:
                samples, begin = augment(samples, rng)
        heard.append(samples)
        said.append([] if empty else ids[i])
        of_clip = () if empty else speech.phones[i]
        n_frames = round(samples.size / SAMPLE_RATE_HZ / FRAME_S) + 2
        phones.append(inventory.targets(of_clip, speech.phone_ends_s[i], n_frames, begin / SAMPLE_RATE_HZ))
        allowed.append(inventory.allowed(of_clip))
    return _Batch(
        _padded(heard, 0.0), torch.tensor([len(samples) for samples in heard]),
        _padded([np.array(pieces, np.int64) for pieces in said], 0), torch.tensor([len(pieces) for pieces in said]),
        _padded(phones, IGNORED), torch.from_numpy(np.stack(allowed)),
    )  # fmt: skip


def _padded(rows: Sequence[NDArray[Any]], filling: float) -> Tensor:
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=filling)


class Trainer:
    """One run: a model, its optimiser, and how many seconds of speech were heard."""

    def __init__(self, model: EncDecRNNTBPEModel, plan: Plan, speech: Path, checkpoint: Path) -> None:
        self._model, self._plan, self._speech, self._checkpoint = model, plan, speech, checkpoint
        state = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
        self._inventory = (
            Inventory([(of, symbol) for of, symbol in state["phones"]]) if state else Inventory.of(load(speech).phones)
        )
        self._head = PhoneHead(model.cfg.encoder.d_model, len(self._inventory))
        self._hidden: list[Tensor] = []
        model.encoder.layers[PHONE_LAYER].register_forward_hook(lambda _layer, _given, made: self._hidden.append(made))
        self._trained = [*model.parameters(), *self._head.parameters()]
        decayed = [p for p in self._trained if p.dim() > 1]
        plain = [p for p in self._trained if p.dim() <= 1]
        self._optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 1e-3}, {"params": plain, "weight_decay": 0.0}],
            lr=PEAK_RATE, betas=(0.9, 0.98), fused=True,
        )  # fmt: skip
        self.heard_s = 0.0
        if state:
            self._resume(state)

    def run(self) -> None:
        """Train until the plan's hours are heard, leaving a checkpoint every `CHECKPOINT_STEPS` steps and at the end."""
        keep_freed_memory()
        model, step = self._model, 0
        shown: tuple[float, ...] = (math.nan, math.nan)
        model.train()
        # Another seed after a resume: the same clips in the same noise again would teach less.
        seed = self._plan.seed + int(self.heard_s)
        batches = _Batches(self._speech, model.tokenizer, self._inventory, seed=seed, heard_s=self.heard_s)
        with _progress() as progress:
            task = progress.add_task("train", total=self._plan.hours, loss=shown[0], phones=shown[1])
            for batch in DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8):
                if self.heard_s >= self._plan.hours * 3600:
                    break
                losses = self._step(batch)
                step += 1
                self.heard_s += batch.signal.numel() / SAMPLE_RATE_HZ
                shown = losses if step == 1 else tuple(old + 0.02 * (new - old) for old, new in zip(shown, losses, strict=True))
                progress.update(task, completed=self.heard_s / 3600, loss=shown[0], phones=shown[1])
                if step % CHECKPOINT_STEPS == 0:
                    self._save()
                    progress.console.print(
                        f"{self.heard_s / 3600:.1f} h heard, {shown[0]:.3f} nats a piece, {shown[1]:.3f} nats a half frame"
                    )
        self._save()

    def _step(self, batch: _Batch) -> tuple[float, ...]:
        """The transducer's loss in nats a piece, and the phones' in nats a half frame."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        model = self._model
        self._hidden.clear()
        with torch.no_grad():
            features, n_features = model.preprocessor(input_signal=batch.signal, length=batch.n_samples)
            features = model.spec_augmentation(input_spec=features, length=n_features)
        encoded, n_frames = model.encoder(audio_signal=features, length=n_features)
        encoded = encoded.transpose(1, 2)
        pieces = max(1, int(batch.n_labels.sum()))
        predicted, _, _ = model.decoder(targets=batch.labels, target_length=batch.n_labels)
        f = model.joint.project_encoder(encoded)
        g = model.joint.project_prednet(predicted.transpose(1, 2))
        losses = tdt_loss(model.joint.joint_net(f[:, :, None] + g[:, None]), batch.labels, n_frames.long(), batch.n_labels)
        loss = losses[losses.isfinite()].sum() / pieces
        phone_loss = self._head.loss(self._hidden[0], batch.phones, batch.allowed)
        self._optimiser.zero_grad()
        (loss + PHONE_WEIGHT * phone_loss).backward()  # type: ignore[no-untyped-call]
        if torch.nn.utils.clip_grad_norm_(self._trained, GRADIENT_NORM).isfinite():
            self._optimiser.step()
        return float(loss.detach()), float(phone_loss.detach())

    def _rate(self) -> float:
        hours = self.heard_s / 3600
        done = min(1.0, hours / self._plan.hours)
        return PEAK_RATE * min(1.0, (hours + 0.02) / WARM_UP_HOURS) * (0.5 * (1 + math.cos(math.pi * done)) + 1e-3)

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(), "optimiser": self._optimiser.state_dict(), "heard_s": self.heard_s,
            "head": self._head.state_dict(), "phones": [list(symbol) for symbol in self._inventory.symbols],
        }  # fmt: skip
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)

    def _resume(self, state: dict[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._head.load_state_dict(state["head"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.heard_s = state["heard_s"]
        Console(stderr=True).print(f"going on after {self.heard_s / 3600:.1f} h of speech")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f}/{task.total:.0f} h of speech"),
        TextColumn("{task.fields[loss]:.3f} nats a piece, {task.fields[phones]:.3f} a half frame"),
        TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), refresh_per_second=1,
    )  # fmt: skip

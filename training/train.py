"""The training loop: the transducer's loss along the known path, and beside it the phones of each frame; easy speech first.

The learning rate rises, then falls to zero along a cosine over the hours of speech asked for. What was tried and dropped
(2026-11, two cores): a CTC loss on the encoder, alone as a warm-up and beside the transducer loss: 8 pieces a second
hardly fit into 12.5 frames, and after 28 hours of speech it stood at 4.1 nats a piece where the transducer was at 2.4. The
transducer loss over the whole lattice: 40 % of a step, and it has to find out what the synthesisers tell. Noise, rooms and
band limits on 70 % of the clips and masked features: a model that hears this little learns slower for it.
"""

from __future__ import annotations

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

from app.adapters.nemo.cpu import keep_freed_memory

from .alignment import piece_ends_s
from .architecture import EncDecRNNTBPEModel
from .augment import augment, empty_clip
from .model import encoder_frames
from .path_loss import Points, path_loss, points
from .phones import FRAME_S, IGNORED, Inventory, PhoneHead
from .speech import SpeechSet, load

SAMPLE_RATE_HZ: Final = 16_000
BATCH_S: Final = 24.0  # padded seconds a step
POOL_CLIPS: Final = 1_500  # drawn at random, then cut into batches of like length
EMPTY_SHARE: Final = 0.03  # of the clips: silence, noise, music; nothing to write
PEAK_RATE: Final = 1.5e-3
WARM_UP_HOURS: Final = 1.0  # of speech heard, as all hours here
PHONE_LAYER: Final = 3  # of 0..5: the layers above learn to spell
PHONE_WEIGHT: Final = 3.0  # nats a half frame against nats a piece
OFTEN_FROM: Final = 0.6  # of the hours: words of every kind first, then mostly what people say
OFTEN: Final = 3
MISHEARD_SHARE: Final = 0.15  # of the pieces before the one to be written; chosen
EASY_HOURS: Final = 4.0  # at first short and clean clips; after these hours all of them, all augmented
EASY_LONGEST_S: Final = 3.0
CHECKPOINT_STEPS: Final = 400
GRADIENT_NORM: Final = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to train: `hours` of speech to hear in all, repeats counted; `seed` fixes order, voices' noise and weights.

    After `OFTEN_FROM` of the hours the texts in `often` are heard `OFTEN` times as often as the others.
    """

    hours: float
    seed: int
    often: frozenset[str] = frozenset()


class _Batch(NamedTuple):
    signal: Tensor  # float32, (batch, n_samples)
    n_samples: Tensor
    labels: Tensor  # int64, (batch, n_labels)
    clip: Tensor  # (n_points,), as the next five: where the joint network is asked, and what it should say
    frame: Tensor
    written: Tensor
    piece: Tensor
    duration: Tensor
    weight: Tensor
    phones: Tensor  # int64, (batch, n_frames, TARGETS_PER_FRAME)
    allowed: Tensor  # bool, (batch, n_phones)


class _Batches(IterableDataset[_Batch]):
    """Endless batches of augmented clips; each pass opens the store anew, so shards still being spoken join in."""

    def __init__(self, folder: Path, tokenizer: Any, inventory: Inventory, plan: Plan, *, heard_s: float) -> None:
        self._folder, self._tokenizer, self._inventory, self._plan, self._heard_s = folder, tokenizer, inventory, plan, heard_s

    def __iter__(self) -> Iterator[_Batch]:
        torch.set_num_threads(1)
        # Another seed after a resume: the same clips in the same noise again would teach less.
        rng = np.random.default_rng(self._plan.seed + int(self._heard_s))
        heard_s = self._heard_s
        while True:
            speech = load(self._folder)
            spoken = _spoken(speech, self._tokenizer)
            often = OFTEN if heard_s >= OFTEN_FROM * self._plan.hours * 3600 else 1
            order = rng.permutation(
                np.repeat(np.arange(len(speech)), [often if text in self._plan.often else 1 for text in speech.texts])
            )
            for first in range(0, len(order), POOL_CLIPS):
                pool = order[first : first + POOL_CLIPS]
                eased = min(1.0, heard_s / (3600 * EASY_HOURS))
                if eased < 1:
                    longest_s = EASY_LONGEST_S / (1.001 - eased)
                    pool = pool[speech.n_samples[pool] < longest_s * SAMPLE_RATE_HZ]
                batches = list(_of_like_length(pool, speech.n_samples))
                for i in rng.permutation(len(batches)):
                    batch = _batch(batches[i], spoken, self._inventory, rng, augmented=eased)
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


class _Spoken(NamedTuple):
    """The store with each clip's pieces, and when each of them ends, in seconds after its first sample."""

    speech: SpeechSet
    pieces: list[NDArray[np.int64]]
    ends_s: list[NDArray[np.float32]]
    blank: int


def _spoken(speech: SpeechSet, tokenizer: Any) -> _Spoken:
    pieces = [np.array(tokenizer.text_to_ids(text), np.int64) for text in speech.texts]
    lengths = np.array([len(piece) for piece in tokenizer.vocab])
    ends_s = piece_ends_s(speech.texts, speech.phones, speech.phone_ends_s, [lengths[of_clip] for of_clip in pieces])
    return _Spoken(speech, pieces, ends_s, tokenizer.vocab_size)


def _batch(clips: list[int], spoken: _Spoken, inventory: Inventory, rng: np.random.Generator, *, augmented: float) -> _Batch:
    speech = spoken.speech
    heard: list[NDArray[np.float32]] = []
    said: list[NDArray[np.int64]] = []
    paths: list[Points] = []
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
        n_frames = encoder_frames(samples.size)
        said.append(spoken.pieces[i][: 0 if empty else None])
        ends = np.round((begin / SAMPLE_RATE_HZ + spoken.ends_s[i][: said[-1].size]) / FRAME_S).astype(np.int64)
        paths.append(points(said[-1], np.minimum(ends, n_frames - 1), n_frames, spoken.blank))
        heard.append(samples)
        of_clip = () if empty else speech.phones[i]
        phones.append(inventory.targets(of_clip, speech.phone_ends_s[i], n_frames + 1, begin / SAMPLE_RATE_HZ))
        allowed.append(inventory.allowed(of_clip))
    of_points = np.repeat(np.arange(len(clips)), [path.frame.size for path in paths])
    frame, written, piece, duration, weight = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*paths, strict=True))
    return _Batch(
        _padded(heard, 0.0), torch.tensor([len(samples) for samples in heard]), _padded(said, 0), torch.from_numpy(of_points),
        frame, written, piece, duration, weight, _padded(phones, IGNORED), torch.from_numpy(np.stack(allowed)),
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
        batches = _Batches(self._speech, model.tokenizer, self._inventory, self._plan, heard_s=self.heard_s)
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
        """The loss along the path in nats a piece, and the phones' in nats a half frame."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        model = self._model
        self._hidden.clear()
        with torch.no_grad():
            features, n_features = model.preprocessor(input_signal=batch.signal, length=batch.n_samples)
        encoded, _ = model.encoder(audio_signal=features, length=n_features)
        f = model.joint.project_encoder(encoded.transpose(1, 2))
        g = model.joint.project_prednet(model.decoder.predict(_misheard(batch.labels, model.tokenizer.vocab_size), add_sos=True)[0])
        logits = model.joint.joint_net(f[batch.clip, batch.frame] + g[batch.clip, batch.written])
        n_pieces = ((batch.piece != model.tokenizer.vocab_size) & (batch.weight == 1)).sum().clamp(min=1)
        loss = path_loss(logits, batch.piece, batch.duration, batch.weight) / n_pieces
        phone_loss = self._head.loss(self._hidden[0], batch.phones, batch.allowed)
        self._optimiser.zero_grad()
        (loss + PHONE_WEIGHT * phone_loss).backward()
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


def _misheard(labels: Tensor, n_pieces: int) -> Tensor:
    """Replace some pieces by random ones: what was written before may be wrong, and must not outweigh what is heard."""
    wrong = torch.rand(labels.shape) < MISHEARD_SHARE
    return torch.where(wrong, torch.randint(n_pieces, labels.shape), labels)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f}/{task.total:.0f} h of speech"),
        TextColumn("{task.fields[loss]:.3f} nats a piece, {task.fields[phones]:.3f} a half frame"),
        TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), refresh_per_second=1,
    )  # fmt: skip

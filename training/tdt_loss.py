"""The token-and-duration transducer loss for a CPU.

NeMo's `tdt` loss is a CUDA kernel, and its `tdt_pytorch` fallback walks the lattice in Python. Here the
lattice (frames x labels x durations, a few hundred thousand additions a batch) is walked by numba, one clip
a thread, and its exact gradient comes out of the same walk; the softmaxes stay in torch.

Source: H. Xu et al., "Efficient Sequence Transduction by Jointly Predicting Tokens and Durations",
arXiv 2304.06795, equations 5 to 10; the terminal rule (the last blank's duration ends exactly at the last
frame) is NeMo's.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DURATIONS: Final = (0, 1, 2, 3, 4)  # frames of 80 ms; duration d has index d


@numba.njit(cache=True)
def _log_add(a: float, b: float) -> float:
    if a == -math.inf:
        return b
    if b == -math.inf:
        return a
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high))


@numba.njit(parallel=True, cache=True)
def _walk(  # noqa: PLR0912, PLR0917  # one lattice, walked forward and back; numba takes positions
    blank: Any, label: Any, duration: Any, n_frames: Any, n_labels: Any, d_blank: Any, d_label: Any, d_duration: Any
) -> Any:
    """Fill the three gradients of the negative log-likelihood and return it, float64 (n_clips,)."""
    n_clips, n_durations = blank.shape[0], duration.shape[3]
    loss = np.zeros(n_clips, np.float64)
    for b in numba.prange(n_clips):
        frames, labels = n_frames[b], n_labels[b]
        alpha = np.full((frames + 1, labels + 1), -math.inf, np.float64)
        alpha[0, 0] = 0.0
        for t in range(frames):
            for u in range(labels + 1):
                here = alpha[t, u]
                if here == -math.inf:
                    continue
                for d in range(n_durations):
                    if t + d > frames:
                        break
                    step = here + duration[b, t, u, d]
                    # the last blank alone may land behind the last frame, and only with every label written
                    if d > 0 and (t + d < frames or u == labels):
                        alpha[t + d, u] = _log_add(alpha[t + d, u], step + blank[b, t, u])
                    if u < labels and t + d < frames:
                        alpha[t + d, u + 1] = _log_add(alpha[t + d, u + 1], step + label[b, t, u])
        total = alpha[frames, labels]
        loss[b] = -total
        if total == -math.inf:
            continue
        beta = np.full((frames + 1, labels + 1), -math.inf, np.float64)
        beta[frames, labels] = 0.0
        for t in range(frames - 1, -1, -1):
            for u in range(labels, -1, -1):
                here = alpha[t, u]
                for d in range(n_durations):
                    if t + d > frames:
                        break
                    step = duration[b, t, u, d]
                    if d > 0 and (t + d < frames or u == labels):
                        rest = step + blank[b, t, u] + beta[t + d, u]
                        beta[t, u] = _log_add(beta[t, u], rest)
                        if here + rest > -math.inf:
                            share = math.exp(here + rest - total)
                            d_blank[b, t, u] -= share
                            d_duration[b, t, u, d] -= share
                    if u < labels and t + d < frames:
                        rest = step + label[b, t, u] + beta[t + d, u + 1]
                        beta[t, u] = _log_add(beta[t, u], rest)
                        if here + rest > -math.inf:
                            share = math.exp(here + rest - total)
                            d_label[b, t, u] -= share
                            d_duration[b, t, u, d] -= share
    return loss


class _Loss(torch.autograd.Function):
    """The gradient of the softmaxes is written down rather than traced: three passes over the logits, not ten."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, n_frames: Tensor, n_labels: Tensor) -> Tensor:
        n_pieces = logits.shape[-1] - 1 - len(DURATIONS)
        tokens = logits[..., : n_pieces + 1]
        norm = tokens.logsumexp(-1)
        index = labels[:, None, :, None].expand(-1, logits.shape[1], -1, 1)
        label = tokens[:, :, :-1].gather(-1, index).squeeze(-1) - norm[:, :, :-1]
        blank = tokens[..., n_pieces] - norm
        duration = logits[..., n_pieces + 1 :].log_softmax(-1)
        values = [part.contiguous().numpy() for part in (blank, label, duration)]
        gradients: list[NDArray[np.float32]] = [np.zeros_like(value) for value in values]
        loss = _walk(*values, n_frames.numpy(), n_labels.numpy(), *gradients)  # type: ignore[call-arg]  # numba counts *arguments as one
        ctx.save_for_backward(logits, norm, index, duration, *(torch.from_numpy(gradient) for gradient in gradients))
        return torch.from_numpy(loss).float()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Any:
        logits, norm, index, duration, d_blank, d_label, d_duration = ctx.saved_tensors
        n_pieces = logits.shape[-1] - 1 - len(DURATIONS)
        w = weight[:, None, None]
        d_blank, d_label = d_blank * w, d_label * w
        gradient = torch.empty_like(logits)
        tokens = gradient[..., : n_pieces + 1]
        used = d_blank.clone()
        used[:, :, :-1] += d_label
        torch.sub(logits[..., : n_pieces + 1], norm[..., None], out=tokens)
        tokens.exp_().mul_(-used[..., None])
        tokens[..., n_pieces] += d_blank
        tokens[:, :, :-1].scatter_add_(-1, index, d_label[..., None])
        d_duration = d_duration * w[..., None]
        gradient[..., n_pieces + 1 :] = d_duration - duration.exp() * d_duration.sum(-1, keepdim=True)
        return gradient, None, None, None


def tdt_loss(logits: Tensor, labels: Tensor, n_frames: Tensor, n_labels: Tensor) -> Tensor:
    """Score every clip's transcript against the joint network's output.

    Args:
        logits: float32 (n_clips, frames, labels + 1, pieces + 1 + len(DURATIONS)), not normalised: the pieces,
            then the blank, then the durations.
        labels: int64 (n_clips, labels), piece ids, padded with any valid id.
        n_frames: int64 (n_clips,), encoder frames of each clip, at least 1.
        n_labels: int64 (n_clips,), pieces of each transcript, at least 0.

    Returns:
        float32 (n_clips,), the negative log-likelihood in nats; infinite where no path fits.
    """
    loss: Tensor = _Loss.apply(logits, labels, n_frames, n_labels)  # type: ignore[no-untyped-call]
    return loss

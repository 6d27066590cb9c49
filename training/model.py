"""The bundled model as a file: NeMo's own format, weights in half precision."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import torch

from .architecture import EncDecRNNTBPEModel


def quiet_nemo() -> None:
    """NeMo speaks at import and at every model; in a training log only its errors are of use."""
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(logging.ERROR)


def encoder_frames(n_samples: int) -> int:
    """Count the frames the encoder gives for a clip: 10 ms steps, halved three times and rounded up; at least 1."""
    frames = n_samples // 160
    for _ in range(3):
        frames = (frames + 1) // 2
    return max(1, frames)


def restore(path: Path) -> EncDecRNNTBPEModel:
    """Read a .nemo file into float32 weights on the CPU."""
    from nemo.collections.asr.models import EncDecRNNTBPEModel as Model

    return Model.restore_from(str(path), map_location="cpu").float()


def write_half(weights: dict[str, torch.Tensor], model: EncDecRNNTBPEModel, path: Path) -> None:
    """Write `weights` into `path` with every learned tensor in float16; `model` lends configuration and pieces.

    The mel filters and the window stay float32: they are computed, tiny, and features must not lose precision.
    """
    own = model.state_dict()
    half = {
        name: value.half() if value.is_floating_point() and not name.startswith("preprocessor.") else value
        for name, value in (own | weights).items()
    }
    model.state_dict = lambda *_args, **_kwargs: half  # save_to has no argument for it
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / path.name
            model.save_to(str(written))
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(written, path)
    finally:
        del model.state_dict

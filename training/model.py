"""The bundled model's shape, its pieces, and how it is written: NeMo's own format, weights in half precision."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from .path_loss import DURATIONS

PIECES: Final = 256  # the lattice grows with pieces and shrinks with their length; 256 was cheapest per step
ENCODER_WIDTH: Final = 144
ENCODER_LAYERS: Final = 6
SUBSAMPLING_CHANNELS: Final = 32
HIDDEN: Final = 144  # prediction network and joint

EncDecRNNTBPEModel = Any  # NeMo ships no types


def quiet_nemo() -> None:
    """NeMo speaks at import and at every model; in a training log only its errors are of use."""
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(logging.ERROR)


def train_pieces(texts: Sequence[str], folder: Path) -> Path:
    """Learn the byte-pair encoding from the training texts; returns the folder NeMo calls a tokenizer directory."""
    from nemo.collections.common.tokenizers.sentencepiece_tokenizer import create_spt_model

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.model").exists():
        corpus = folder / "corpus.txt"
        corpus.write_text("\n".join(texts))
        create_spt_model(
            str(corpus), PIECES, sample_size=-1, do_lower_case=False, tokenizer_type="bpe", output_dir=str(folder),
            character_coverage=1.0, train_extremely_large_corpus=False,
        )  # fmt: skip
        corpus.unlink()
    return folder


def configuration(pieces: Path) -> dict[str, Any]:
    """Return the model's NeMo configuration: Parakeet-TDT's recipe with smaller numbers.

    Source: NeMo's examples/asr/conf/fastconformer/fast-conformer_transducer_bpe.yaml and the TDT joint of the
    published Parakeet-TDT 0.6B models (128 mel, 8x depthwise-striding subsampling, durations 0 to 4).
    """
    asr = "nemo.collections.asr.modules"
    return {
        "sample_rate": 16_000,
        "compute_eval_loss": False,
        "log_prediction": False,
        "model_defaults": {
            "enc_hidden": ENCODER_WIDTH,
            "pred_hidden": HIDDEN,
            "joint_hidden": HIDDEN,
            "tdt_durations": list(DURATIONS),
            "num_tdt_durations": len(DURATIONS),
        },
        "tokenizer": {"dir": str(pieces), "type": "bpe"},
        "preprocessor": {
            "_target_": f"{asr}.AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16_000, "normalize": "per_feature", "window_size": 0.025, "window_stride": 0.01,
            "window": "hann", "features": 128, "n_fft": 512, "frame_splicing": 1, "dither": 0.0, "pad_to": 0,
        },
        "spec_augment": {
            "_target_": f"{asr}.SpectrogramAugmentation",
            "freq_masks": 2, "freq_width": 20, "time_masks": 2, "time_width": 0.04,
        },
        "encoder": {
            "_target_": f"{asr}.ConformerEncoder",
            "feat_in": 128, "feat_out": -1, "n_layers": ENCODER_LAYERS, "d_model": ENCODER_WIDTH, "use_bias": False,
            "subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": SUBSAMPLING_CHANNELS,
            "causal_downsampling": False, "ff_expansion_factor": 4, "self_attention_model": "rel_pos", "n_heads": 4,
            "att_context_size": [-1, -1], "xscaling": False, "untie_biases": True, "pos_emb_max_len": 5000,
            "conv_kernel_size": 9, "conv_norm_type": "batch_norm", "conv_context_size": None,
            # No dropout: its random numbers took a third of a step, and nothing is heard often enough to be known by heart.
            "dropout": 0.0, "dropout_pre_encoder": 0.0, "dropout_emb": 0.0, "dropout_att": 0.0,
        },
        "decoder": {
            "_target_": f"{asr}.RNNTDecoder",
            "normalization_mode": None, "random_state_sampling": False, "blank_as_pad": True,
            "prednet": {"pred_hidden": HIDDEN, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{asr}.RNNTJoint",
            "log_softmax": None, "preserve_memory": False, "fuse_loss_wer": False, "fused_batch_size": 4,
            "num_extra_outputs": len(DURATIONS),
            "jointnet": {
                "joint_hidden": HIDDEN, "activation": "relu", "dropout": 0.0,
                "encoder_hidden": ENCODER_WIDTH, "pred_hidden": HIDDEN,
            },
        },
        "decoding": {
            "strategy": "greedy_batch", "model_type": "tdt", "durations": list(DURATIONS),
            "greedy": {"max_symbols": 10},
        },
        "loss": {
            "loss_name": "tdt",
            "tdt_kwargs": {"fastemit_lambda": 0.0, "durations": list(DURATIONS), "sigma": 0.0, "omega": 0.0},
        },
    }  # fmt: skip


def encoder_frames(n_samples: int) -> int:
    """Count the frames the encoder gives for a clip: 10 ms steps, halved three times and rounded up; at least 1."""
    frames = n_samples // 160
    for _ in range(3):
        frames = (frames + 1) // 2
    return max(1, frames)


def new_model(pieces: Path) -> EncDecRNNTBPEModel:
    """Build the model with random weights from torch's current seed."""
    from nemo.collections.asr.models import EncDecRNNTBPEModel as Model
    from omegaconf import OmegaConf

    return Model(OmegaConf.create(configuration(pieces)))


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

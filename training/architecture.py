"""A FastConformer-TDT of any size, in NeMo's terms: the bundled model, and Parakeet's own size for the benchmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

DURATIONS: Final = (0, 1, 2, 3, 4)  # frames of 80 ms; duration d has index d


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that make the model large. The defaults are those of nvidia/parakeet-tdt-0.6b-v2: 617.8 M parameters."""

    layers: int = 24
    width: int = 1024
    heads: int = 8
    subsampling_channels: int = 256
    prediction_layers: int = 2
    hidden: int = 640  # of the prediction network and of the joint
    pieces: int = 1024


BUNDLED_SHAPE: Final = Shape(
    layers=6,
    width=144,
    heads=4,
    subsampling_channels=32,
    prediction_layers=1,
    hidden=144,
    pieces=256,  # the lattice grows with pieces and shrinks with their length; 256 was cheapest per step
)

EncDecRNNTBPEModel = Any  # NeMo ships no types


def configuration(shape: Shape, pieces: Path) -> dict[str, Any]:
    """Return NeMo's configuration of a FastConformer-TDT.

    Source: NeMo's examples/asr/conf/fastconformer/fast-conformer_transducer_bpe.yaml, with the sizes, 128 mel bands and TDT
    joint of the published Parakeet-TDT 0.6B models.
    """
    asr = "nemo.collections.asr.modules"
    durations, sizes = list(DURATIONS), {"enc_hidden": shape.width, "pred_hidden": shape.hidden, "joint_hidden": shape.hidden}
    tdt = {"tdt_durations": durations, "num_tdt_durations": len(durations)}
    return {
        "sample_rate": 16_000,
        "compute_eval_loss": False,
        "log_prediction": False,
        "model_defaults": sizes | tdt,
        "tokenizer": {"dir": str(pieces), "type": "bpe"},
        "preprocessor": {
            "_target_": f"{asr}.AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16_000, "normalize": "per_feature", "window_size": 0.025, "window_stride": 0.01,
            "window": "hann", "features": 128, "n_fft": 512, "frame_splicing": 1, "dither": 0.0, "pad_to": 0,
        },
        "encoder": {
            "_target_": f"{asr}.ConformerEncoder",
            "feat_in": 128, "feat_out": -1, "n_layers": shape.layers, "d_model": shape.width, "use_bias": False,
            "subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": shape.subsampling_channels,
            "causal_downsampling": False, "ff_expansion_factor": 4, "self_attention_model": "rel_pos", "n_heads": shape.heads,
            "att_context_size": [-1, -1], "xscaling": False, "untie_biases": True, "pos_emb_max_len": 5000,
            "conv_kernel_size": 9, "conv_norm_type": "batch_norm", "conv_context_size": None,
            # No dropout: its random numbers took a third of a step, and nothing is heard often enough to be known by heart.
            "dropout": 0.0, "dropout_pre_encoder": 0.0, "dropout_emb": 0.0, "dropout_att": 0.0,
        },
        "decoder": {
            "_target_": f"{asr}.RNNTDecoder",
            "normalization_mode": None, "random_state_sampling": False, "blank_as_pad": True,
            "prednet": {"pred_hidden": shape.hidden, "pred_rnn_layers": shape.prediction_layers, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{asr}.RNNTJoint",
            "log_softmax": None, "preserve_memory": False, "fuse_loss_wer": False, "fused_batch_size": -1,
            "num_extra_outputs": len(durations),
            "jointnet": {
                "joint_hidden": shape.hidden, "activation": "relu", "dropout": 0.0,
                "encoder_hidden": shape.width, "pred_hidden": shape.hidden,
            },
        },
        "decoding": {"strategy": "greedy_batch", "model_type": "tdt", "durations": durations, "greedy": {"max_symbols": 10}},
        "loss": {
            "loss_name": "tdt",
            "tdt_kwargs": {"fastemit_lambda": 0.0, "durations": durations, "sigma": 0.0, "omega": 0.0},
        },
    }  # fmt: skip


def learn_pieces(texts: Sequence[str], folder: Path, n_pieces: int) -> Path:
    """Learn the byte-pair encoding from `texts` unless it is there; returns the folder NeMo calls a tokenizer directory."""
    from nemo.collections.common.tokenizers.sentencepiece_tokenizer import create_spt_model

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.model").exists():
        corpus = folder / "corpus.txt"
        corpus.write_text("\n".join(texts))
        create_spt_model(
            str(corpus), n_pieces, sample_size=-1, do_lower_case=False, tokenizer_type="bpe", output_dir=str(folder),
            character_coverage=1.0, train_extremely_large_corpus=False,
        )  # fmt: skip
        corpus.unlink()
    return folder


def new_model(shape: Shape, pieces: Path) -> EncDecRNNTBPEModel:
    """Build the model with random weights from torch's current seed."""
    from nemo.collections.asr.models import EncDecRNNTBPEModel as Model
    from omegaconf import OmegaConf

    return Model(OmegaConf.create(configuration(shape, pieces)))

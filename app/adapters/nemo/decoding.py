"""What one greedy decode says, as tokens with times and probabilities.

Two things NeMo 3.0.0 reports are not what they seem, and one small change to its decoder sets both right. Its `max_prob`
confidence is the probability stretched to (p * n - 1) / (n - 1), rounded to the precision of the weights. And outside
CUDA graphs `Hypothesis.token_duration` is wrong in a batch: the inner loop of `tdt_label_looping.py::torch_impl`, run
for clips that have not found their next token, overwrites the durations of those that have. The logits kept for the
confidence are right in both, so the measure taken of them is replaced: the label's log-probability, and the index of
the duration.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ...domain.errors import ModelUnavailableError
from ...domain.transcript import Token, Transcript
from .insertion import with_keywords
from .keywords import SteeredDecoding

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_LOGPROB: Final = math.log(1e-10)  # no token the decoder chose is less likely; keeps infinities out of JSON
_WORD_START: Final = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's mark
_UNKNOWN_TEXT: Final = " \N{DOUBLE QUESTION MARK} "  # what SentencePiece writes for a piece it does not know

Model = Any  # NeMo ships no types


class Decoded(NamedTuple):
    """What NeMo heard in one clip by itself, and with the clip's keywords if it has some."""

    plain: Any
    steered: Any = None
    keywords: tuple[str, ...] = ()


class Decoder:
    """Sets a transducer's decoder up, once, runs it, and reads its hypotheses."""

    def __init__(self, model: Model) -> None:
        """Change `model` to greedy label looping that keeps each token's frame, log-probability and duration.

        CUDA graphs stay on. Alignments stay off: they would record every blank and every logit.

        Raises:
            ModelUnavailableError: Its prediction network cannot be run by label looping.
        """
        from omegaconf import OmegaConf

        decoding = cast("dict[str, Any]", OmegaConf.to_container(model.cfg.decoding, resolve=True))
        self._durations = tuple(int(duration) for duration in decoding.get("durations") or ())  # none: no TDT model
        decoding |= {
            "strategy": "greedy_batch",
            "preserve_alignments": False,
            "compute_timestamps": False,  # the frames are kept anyway; this would build word lists nobody reads
            "confidence_cfg": {
                "preserve_token_confidence": True,
                "exclude_blank": True,  # False records every blank step
                "tdt_include_duration": bool(self._durations),
                "method_cfg": {"name": "max_prob", "alpha": 1.0},
            },
        }
        model.change_decoding_strategy(OmegaConf.create(decoding), verbose=False)
        self._plain = model.decoding
        computer = getattr(self._plain.decoding, "decoding_computer", None)
        if computer is None:
            raise ModelUnavailableError("this transducer's prediction network (blank_as_pad off) is not supported")
        computer._confidence_measure = self._measure  # before the first decode, which may capture it into a graph
        self._model = model
        encoder_stride = int(model.encoder.subsampling_factor)
        self._frames_per_s = 1 / (float(model.cfg.preprocessor.window_stride) * encoder_stride)  # 12.5 for Parakeet
        self._punctuation = frozenset(model.decoding.supported_punctuation or ())
        self._pieces = [_text(piece) for piece in model.tokenizer.ids_to_tokens(list(range(model.decoding.blank_id)))]

    @cached_property
    def _steered(self) -> SteeredDecoding:
        """Built when the first keywords come: it takes time and some 70 MB that not everybody needs."""
        steered = SteeredDecoding(self._model)
        steered.decoding.decoding.decoding_computer._confidence_measure = self._measure_steered
        return steered

    def decoded(self, encoded: "Tensor", lengths: "Tensor", keywords: Sequence[tuple[str, ...]]) -> list[Decoded]:
        """Decode a batch from the encoder: float, shape (batch, width, n_frames); those with keywords once more with them."""
        plain = self._plain.rnnt_decoder_predictions_tensor(encoded, lengths, return_hypotheses=True)
        found = [Decoded(hypothesis) for hypothesis in plain]
        if rows := [i for i, of_clip in enumerate(keywords) if of_clip]:
            again = self._steered.hypotheses(encoded[rows], lengths[rows], [keywords[i] for i in rows])
            for i, hypothesis in zip(rows, again, strict=True):
                found[i] = Decoded(plain[i], hypothesis, keywords[i])
        return found

    def _measure(self, log_probabilities: "Tensor") -> "Tensor":
        if log_probabilities.shape[-1] == len(self._durations):
            return log_probabilities.argmax(dim=-1).to(log_probabilities.dtype)
        return log_probabilities.max(dim=-1).values

    def _measure_steered(self, log_probabilities: "Tensor") -> "Tensor":
        """As `_measure`, of the piece that was chosen with the keywords' bonus: the model alone might have preferred another."""
        if log_probabilities.shape[-1] == len(self._durations):
            return self._measure(log_probabilities)
        chosen = (log_probabilities[:, :-1] + self._steered.bonus).argmax(dim=-1, keepdim=True)  # the last one is the blank
        return log_probabilities.gather(-1, chosen).squeeze(-1)

    def transcript(self, decoded: Decoded, *, duration_s: float) -> Transcript:
        """Read what was decoded of a clip that lasts `duration_s`."""
        plain = self._read(decoded.plain, duration_s)
        if decoded.steered is None:
            return plain
        return with_keywords(plain, self._read(decoded.steered, duration_s), decoded.keywords)

    def _read(self, hypothesis: Any, duration_s: float) -> Transcript:
        """Read one hypothesis.

        A token starts at the frame it was written at and lasts the duration the model gave it, at least one frame: a
        duration of 0 says that the next token sounds in the same frame. So starts and ends never run back, and none
        but a token of duration 0 reaches into the next. Both are clamped to the clip, whose last frame may be padding.
        """
        ids = [int(token) for token in hypothesis.y_sequence]
        frames = [int(frame) for frame in hypothesis.timestamp]
        steps = hypothesis.non_blank_step_confidence_precomputed or []
        tokens = []
        for token, text, frame, step in zip(ids, self._texts(ids), frames, steps, strict=True):
            logprob, duration = (step[0], self._durations[int(step[1])]) if self._durations else (step, 1)
            tokens.append(
                Token(
                    id=token,
                    text=text,
                    start_s=min(frame / self._frames_per_s, duration_s),
                    end_s=min((frame + max(duration, 1)) / self._frames_per_s, duration_s),
                    logprob=min(max(float(logprob), _LEAST_LOGPROB), 0.0),
                )
            )
        return Transcript(tokens=tuple(tokens))

    def _texts(self, ids: Sequence[int]) -> list[str]:
        """Return the pieces' texts, without the space a piece may put before punctuation: NeMo's text drops it too."""
        texts = [self._pieces[token] for token in ids]
        for i, text in enumerate(texts):
            if text.startswith(" ") and text[1:2] in self._punctuation:
                texts[i] = text[1:]
            elif text[:1] in self._punctuation and i and texts[i - 1].endswith(" "):
                texts[i - 1] = texts[i - 1][:-1]
        return texts


def _text(piece: str) -> str:
    return _UNKNOWN_TEXT if piece == "<unk>" else piece.replace(_WORD_START, " ")

"""Keywords steer the decoder: NeMo's phrase boosting, a tree of phrases for each clip of a batch.

The steered decoder is a second one on the same weights: the other one, and so every batch without keywords, keeps its speed
and its CUDA graphs. On CUDA the steered one runs without graphs; how fast, nobody has measured.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

# In nats, added to the log-probability of a keyword's first piece; NeMo gives further pieces twice that and more. So much
# that mistaken words are mended; what else it bends is not taken over (see insertion.py).
_BONUS: Final = 6.0
_KEPT_TREES: Final = 64  # a long file asks for the same keywords with every window

Model = Any  # NeMo ships no types


class SteeredDecoding:
    """A transducer's decoder that takes keywords. They decide which piece is written, never whether one is."""

    def __init__(self, model: Model) -> None:
        """Build the decoder by `model.cfg.decoding`, beside the one the model has."""
        from nemo.collections.asr.parts.submodules.rnnt_decoding import RNNTBPEDecoding
        from omegaconf import open_dict

        settings = model.cfg.decoding.copy()
        with open_dict(settings):
            settings.greedy.enable_per_stream_biasing = True
            settings.greedy.use_cuda_graph_decoder = False
        self.decoding = RNNTBPEDecoding(decoding_cfg=settings, decoder=model.decoder, joint=model.joint, tokenizer=model.tokenizer)
        self._tokenizer = model.tokenizer
        self._computer = self.decoding.decoding.decoding_computer
        self._advance = self._computer.advance_fusion_models
        self._computer.advance_fusion_models = self._advance_and_remember
        self._bonus: Tensor | None = None
        self._tree = lru_cache(_KEPT_TREES)(self._built)

    @property
    def bonus(self) -> "Tensor":
        """What the keywords add to each piece in the decoder's present step: float, shape (batch, pieces)."""
        if self._bonus is None:
            raise RuntimeError("nothing is being decoded")
        return self._bonus

    def hypotheses(self, encoded: "Tensor", lengths: "Tensor", keywords: Sequence[tuple[str, ...]]) -> list[Any]:
        """Decode a batch, each clip by its own keywords; one without any is decoded as if no other had some."""
        from nemo.collections.asr.parts.utils.rnnt_utils import Hypothesis

        with self._added(keywords) as requests:
            begun = [Hypothesis.empty_with_biasing_cfg(request) if request else None for request in requests]
            found: list[Any] = self.decoding.rnnt_decoder_predictions_tensor(
                encoded, lengths, return_hypotheses=True, partial_hypotheses=begun
            )
        return found

    @contextmanager
    def _added(self, keywords: Sequence[tuple[str, ...]]) -> Iterator[list[Any]]:
        """Hand each clip's tree to the decoder for as long as the context lasts; None for a clip without one."""
        from nemo.collections.asr.parts.context_biasing.biasing_multi_model import BiasingRequestItemConfig

        trees, requests = self._computer.biasing_multi_model, list[Any]()
        try:
            for of_clip in keywords:  # one of them may fail, and then those before it must go, too
                tree = self._tree(of_clip)
                requests.append(BiasingRequestItemConfig(multi_model_id=trees.add_model(tree)) if tree else None)
            yield requests
        finally:
            for request in requests:
                if request:
                    trees.remove_model(request.multi_model_id)

    def _built(self, keywords: tuple[str, ...]) -> Any:
        """Build the tree of the keywords the model has pieces for; None if there is none."""
        from nemo.collections.asr.parts.context_biasing.boosting_graph_batched import (
            BoostingTreeModelConfig,
            GPUBoostingTreeModel,
        )

        unknown = self._tokenizer.tokenizer.unk_id()
        writable = [keyword for keyword in keywords if unknown not in self._tokenizer.text_to_ids(keyword)]
        if not writable:
            return None
        settings = BoostingTreeModelConfig(key_phrases_list=writable, context_score=_BONUS, use_triton=None)  # None: if it is there
        return GPUBoostingTreeModel.from_config(settings, self._tokenizer)

    def _advance_and_remember(self, *arguments: Any, **named: Any) -> Any:
        scores, states = self._advance(*arguments, **named)
        self._bonus = sum(scores[1:], start=scores[0])
        return scores, states

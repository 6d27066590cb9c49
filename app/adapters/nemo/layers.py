"""Layers that compute on a CPU what NeMo's compute, without doing work again that is the same for every clip.

Milliseconds are of the full-size model in bfloat16 on two virtual cores of Zen 4, for a clip of 15 s, 2026-11.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

_ATTENTION: Final = "RelPositionMultiHeadAttention"  # by its name: to import NeMo takes seconds, and this model brings it
_MOST_POSITIONS: Final = 1_499  # of 60 s, where each of 24 layers keeps 3 MB; what is longer pays far more for attention


def replace_layers(model: Any, *, packed: bool) -> None:
    """Put these layers in the place of NeMo's; the model is not moved, cast or saved any more.

    Args:
        model: A transducer whose encoder has its final type.
        packed: Pack the encoder's weights for oneDNN; they are bfloat16.
    """
    for name, part in [*model.encoder.named_modules()]:
        if packed and isinstance(part, nn.Linear):
            model.encoder.set_submodule(name, PackedLinear(part))
    for part in model.encoder.modules():
        if type(part).__name__ == _ATTENTION:
            part.linear_pos = Positions(part.linear_pos)
    for name, part in [*model.decoder.named_modules()]:
        if type(part) is nn.LSTM and not part.proj_size:
            model.decoder.set_submodule(name, StepwiseLSTM(part))


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as oneDNN reads them: otherwise every call packs them anew.

    Products of 188 frames took 3.9 to 4.3 ms instead of 4.3 to 6.4, of 50 frames 1.1 instead of 1.3 to 1.6, with equal results.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())  # no parameter: nothing may cast it
        self._bias = linear.bias

    def forward(self, values: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(values, self._weight, self._bias, "none", [], "")
        return product


class Positions(nn.Module):
    """What a layer of attention makes of relative positions, which are the same for all clips: kept for the longest so far.

    They run from the farthest before to the farthest after, so that those of a shorter clip lie in the middle. The 24 layers took
    84 ms of 900 for it.
    """

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self._linear = cast("Callable[[Tensor], Tensor]", linear)
        self._known: Tensor | None = None

    def forward(self, positions: Tensor) -> Tensor:
        n = positions.shape[1]
        if n > _MOST_POSITIONS:
            return self._linear(positions)
        if self._known is None or self._known.shape[1] < n:
            self._known = self._linear(positions)
        before = (self._known.shape[1] - n) // 2
        return self._known[:, before : before + n]


class StepwiseLSTM(nn.Module):
    """An LSTM for single steps: `torch.nn.LSTM` has oneDNN pack all weights at every call, three times the step itself.

    A step of the full-size decoder took 2.4 ms instead of 4.0.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self._layers = [_cell(lstm, i) for i in range(lstm.num_layers)]

    def forward(self, values: Tensor, states: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the layers over (n_steps, batch, width), states (n_layers, batch, width) each, as `torch.nn.LSTM` does."""
        zeros = values.new_zeros(values.shape[1], self._layers[0].hidden_size)
        hidden, cells = [], []
        for i, layer in enumerate(self._layers):
            state = (states[0][i], states[1][i]) if states else (zeros, zeros)
            steps = []
            for step in values:
                state = layer(step, state)
                steps.append(state[0])
            values = torch.stack(steps)
            hidden.append(state[0])
            cells.append(state[1])
        return values, (torch.stack(hidden), torch.stack(cells))


def _cell(lstm: nn.LSTM, layer: int) -> nn.LSTMCell:
    cell = nn.LSTMCell(lstm.input_size if layer == 0 else lstm.hidden_size, lstm.hidden_size, bias=lstm.bias)
    for name, parameter in cell.named_parameters():
        parameter.data = getattr(lstm, f"{name}_l{layer}").detach()
    return cell.requires_grad_(False)

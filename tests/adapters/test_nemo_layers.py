"""The layers for a CPU against those they stand for."""

import pytest
import torch
from torch import nn

from app.adapters.nemo.cpu import packs_bfloat16
from app.adapters.nemo.layers import PackedLinear, Positions, StepwiseLSTM
from app.adapters.nemo.recognizer import NemoRecognizer
from app.domain.ports import Options
from tests.recordings import recordings


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@torch.inference_mode()
@pytest.mark.skipif(not packs_bfloat16(), reason="oneDNN packs no bfloat16 here")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_frames", [1, 25, 188])
def test_packed_weights_give_the_same_products(n_frames: int, *, bias: bool) -> None:
    linear = nn.Linear(64, 96, bias=bias).to(torch.bfloat16)
    values = torch.randn(2, n_frames, 64).to(torch.bfloat16)
    product = PackedLinear(linear)(values)
    assert product.shape == (2, n_frames, 96)
    torch.testing.assert_close(product, linear(values))


@torch.inference_mode()
def test_known_positions_are_those_of_each_length() -> None:
    linear, table = nn.Linear(8, 8, bias=False), torch.randn(1, 2_101, 8)
    positions = Positions(linear)
    for n in (5, 3, 5, 1_499, 1, 1_501, 2_101, 9):
        before = (2_101 - n) // 2
        asked = table[:, before : before + n]
        torch.testing.assert_close(positions(asked), linear(asked))


@torch.inference_mode()
@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_stepwise_lstm_is_an_lstm(n_steps: int) -> None:
    lstm = nn.LSTM(input_size=6, hidden_size=10, num_layers=2)
    values = torch.randn(n_steps, 4, 6)
    stepwise, states = StepwiseLSTM(lstm), None
    for _ in range(2):  # the second time from where the first one ended
        expected, expected_states = lstm(values, states)
        found, states = stepwise(values, states)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(states, expected_states)


@pytest.mark.skipif(not packs_bfloat16(), reason="oneDNN packs no bfloat16 here")
def test_in_bfloat16_the_encoder_is_packed_and_hears_the_same() -> None:
    clips = [recording.clip for recording in recordings()[:3]]
    recognizer = NemoRecognizer("bundled", device="cpu", precision="bfloat16")
    kinds = {type(part) for part in recognizer._model.encoder.modules()}
    assert nn.Linear not in kinds
    assert {PackedLinear, Positions} <= kinds
    told = recognizer.recognize(clips, [Options()] * 3)
    encoder = NemoRecognizer("bundled", device="cpu", precision="float32")
    as_float = encoder.recognize(clips, [Options()] * 3)
    assert [transcript.text for transcript in told] == [transcript.text for transcript in as_float]

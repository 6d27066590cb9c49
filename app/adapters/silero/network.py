"""Silero VAD's network in numpy, with the weights that the `silero-vad` package carries.

The package runs it under torch, and torch splits each tiny step of a live stream over all cores, whose threads then wait
for one another busily: on a busy machine of two cores 10 s of audio, frame by frame, cost 11 s of processor time, and 0.3 s
this way (2026-11). Only the weights are taken from torch, once.
"""

from threading import Lock
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...domain.audio import FRAME_SAMPLES, Samples

CONTEXT_SAMPLES: Final = 64  # what Silero hears again before each frame (silero_vad/utils_vad.py, OnnxWrapper.__call__)

# All read from the scripted module of silero-vad 6.2.3, and held to its answers by a test.
_WINDOW_SAMPLES: Final = 256
_HOP_SAMPLES: Final = 128
_REFLECTED_SAMPLES: Final = 64  # at the end of a frame only
_CONVOLUTION_STRIDES: Final = (1, 2, 2, 1)
_PREFIX: Final = "_model."  # the scripted module holds a second network, for 8 kHz

Array = NDArray[np.float32]

_loading = Lock()  # torch's thread count is read and put back: two loads at once could keep the 1 for good


class State(msgspec.Struct, frozen=True, eq=False):
    """What the network remembers between two frames: float32, shape (128,) each."""

    hidden: Array
    cell: Array


class Network:
    """Weights, and nothing that changes: any number of threads may use it at once."""

    def __init__(self) -> None:
        weights = _read_weights()
        self._spectrum = weights["stft.forward_basis_buffer"][:, 0].T.copy()  # (window, real and imaginary parts)
        self._convolutions = []
        for n in range(len(_CONVOLUTION_STRIDES)):
            kernel, bias = (weights[f"encoder.{n}.reparam_conv.{part}"] for part in ("weight", "bias"))
            # (out, in, 3) -> (3 * in, out), to be multiplied with three neighbouring steps laid side by side
            self._convolutions.append((kernel.transpose(2, 1, 0).reshape(-1, bias.size).copy(), bias))
        self._lstm_input = weights["decoder.rnn.weight_ih"].T.copy()
        self._lstm_hidden = weights["decoder.rnn.weight_hh"].T.copy()
        self._lstm_bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
        self._final = weights["decoder.decoder.2.weight"][0, :, 0]
        self._final_bias = weights["decoder.decoder.2.bias"]
        n_hidden = self._final.size
        self.silent_state = State(np.zeros(n_hidden, np.float32), np.zeros(n_hidden, np.float32))

    def hear(self, stretch: Samples, state: State) -> tuple[Samples, State]:
        """Return the speech probability of each frame, and the state after the last.

        Only the LSTM carries anything from frame to frame, and it is cheap; everything before it sees one frame alone, and
        takes all frames at once.

        Args:
            stretch: Consecutive frames with the context of the first before them: float32, shape (64 + 512 * n_frames,).
            state: The state before the first frame.
        """
        gates = self._features(stretch) @ self._lstm_input + self._lstm_bias
        hidden, cell = state.hidden, state.cell
        n_hidden = hidden.size
        heard = np.empty((gates.shape[0], n_hidden), np.float32)
        for i in range(gates.shape[0]):  # torch's order of gates: input, forget, cell, output
            gate = gates[i] + hidden @ self._lstm_hidden
            fresh = np.tanh(gate[2 * n_hidden : 3 * n_hidden])
            entry, keep, _, show = _sigmoid(gate).reshape(4, n_hidden)
            cell = keep * cell + entry * fresh
            heard[i] = hidden = show * np.tanh(cell)
        found: Samples = _sigmoid(np.maximum(heard, 0) @ self._final + self._final_bias)
        return found, State(hidden, cell)

    def _features(self, stretch: Samples) -> Array:
        """Return the LSTM's input: float32, shape (n_frames, 128)."""
        view = np.lib.stride_tricks.sliding_window_view
        frames = view(stretch, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]
        frames = np.pad(frames, ((0, 0), (0, _REFLECTED_SAMPLES)), mode="reflect")
        spectrum = view(frames, _WINDOW_SAMPLES, axis=1)[:, ::_HOP_SAMPLES] @ self._spectrum
        real, imaginary = np.split(spectrum, 2, axis=2)
        steps = np.sqrt(real**2 + imaginary**2)  # (n_frames, 4 steps, 129 frequencies)
        for (weights, bias), stride in zip(self._convolutions, _CONVOLUTION_STRIDES, strict=True):
            padded = np.pad(steps, ((0, 0), (1, 1), (0, 0)))
            neighbours = [padded[:, shift : shift + steps.shape[1] : stride] for shift in range(3)]
            steps = np.maximum(np.concatenate(neighbours, axis=2) @ weights + bias, 0)
        return np.ascontiguousarray(steps[:, 0], np.float32)


def _sigmoid(values: Array) -> Array:
    bounded: Array = np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1))  # overflows nowhere, unlike exp
    return bounded


def _read_weights() -> dict[str, Array]:
    import torch  # late: it takes seconds to load

    with _loading:
        threads = torch.get_num_threads()
        try:
            from silero_vad import load_silero_vad

            network = load_silero_vad()  # silero_vad_16k.safetensors beside it holds another training, with other answers
        finally:
            torch.set_num_threads(threads)  # importing silero_vad leaves the whole process on one
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {name.removeprefix(_PREFIX): value.detach().numpy() for name, value in tensors if name.startswith(_PREFIX)}

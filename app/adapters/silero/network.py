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
_WINDOWS: Final = 4  # in a frame
_CONVOLUTION_STRIDES: Final = (1, 2, 2, 1)
_KERNEL_STEPS: Final = 3
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
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
        self._convolutions, n_steps = list[_Convolution](), _WINDOWS
        for n, stride in enumerate(_CONVOLUTION_STRIDES):
            kernel, bias = (weights[f"encoder.{n}.reparam_conv.{part}"] for part in ("weight", "bias"))
            self._convolutions.append(_Convolution(kernel, bias, n_steps=n_steps, stride=stride))
            n_steps = self._convolutions[-1].n_steps_out
        self._final = weights["decoder.decoder.2.weight"][0, :, 0]
        self._final_bias = weights["decoder.decoder.2.bias"]
        n_hidden = self._final.size
        # Of the gates (input, forget, cell, output: torch's order) all but the third go through a sigmoid, and that is
        # (1 + tanh(x / 2)) / 2: with these weights halved, one tanh serves all four.
        halves = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), n_hidden)
        self._lstm_input = weights["decoder.rnn.weight_ih"].T * halves
        self._lstm_hidden = weights["decoder.rnn.weight_hh"].T * halves
        self._lstm_bias = (weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]) * halves
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
        entry, keep, fresh, show = (slice(first, first + n_hidden) for first in range(0, 4 * n_hidden, n_hidden))
        for i in range(gates.shape[0]):
            gate = np.tanh(gates[i] + hidden @ self._lstm_hidden)
            cell = _HALF * ((gate[keep] + _ONE) * cell + (gate[entry] + _ONE) * gate[fresh])
            heard[i] = hidden = _HALF * (gate[show] + _ONE) * np.tanh(cell)
        found: Samples = _sigmoid(np.maximum(heard, 0) @ self._final + self._final_bias)
        return found, State(hidden, cell)

    def _features(self, stretch: Samples) -> Array:
        """Return the LSTM's input: float32, shape (n_frames, 128).

        Every product is one of two flat matrices; numpy takes a stack of small ones one by one, which doubled the time. For the one
        frame of a live push all calls together take longer than the products, so there are few.
        """
        n_frames = (stretch.size - CONTEXT_SAMPLES) // FRAME_SAMPLES
        cuts = stretch[_CUTS] if n_frames == 1 else stretch[np.arange(n_frames)[:, None, None] * FRAME_SAMPLES + _CUTS]
        spectrum = cuts.reshape(-1, _WINDOW_SAMPLES) @ self._spectrum
        spectrum *= spectrum
        n_frequencies = spectrum.shape[1] // 2
        steps: Array = np.sqrt(spectrum[:, :n_frequencies] + spectrum[:, n_frequencies:])  # (n_frames * 4 windows, 129)
        for convolution in self._convolutions:
            steps = convolution.apply(steps)
        return steps


class _Convolution:
    """One of the network's convolutions with the rectifier behind it, as a product of two matrices."""

    def __init__(self, kernel: Array, bias: Array, *, n_steps: int, stride: int) -> None:
        """Prepare.

        Args:
            kernel: float32, shape (n_out, n_in, 3).
            bias: float32, shape (n_out,).
            n_steps: Of each frame, that come in; a step of zeros stands before and behind them.
            stride: Steps from one that goes out to the next.
        """
        n_out, n_in, _ = kernel.shape
        self._n_steps, self._n_in, self._stride = n_steps, n_in, stride
        self.n_steps_out = (n_steps - 1) // stride + 1
        # (n_out, n_in, 3) -> (3 * n_in, n_out), to be multiplied with three neighbouring steps that lie side by side
        self._weights, self._bias = kernel.transpose(2, 1, 0).reshape(-1, n_out).copy(), bias
        if self.n_steps_out == 1:  # it sees every step and, around them, nothing
            self._weights = self._weights[n_in : n_in * (1 + n_steps)].copy()

    def apply(self, steps: Array) -> Array:
        """Return the steps that go out of those that come in; each is a row, frame after frame."""
        product: Array = self._beside(steps) @ self._weights
        product += self._bias
        np.maximum(product, 0, out=product)
        return product

    def _beside(self, steps: Array) -> Array:
        n_in = self._n_in
        if self.n_steps_out == 1:
            return steps.reshape(-1, self._n_steps * n_in)
        n_frames = steps.shape[0] // self._n_steps
        padded = np.zeros((n_frames, self._n_steps + 2, n_in), np.float32)
        padded[:, 1:-1] = steps.reshape(n_frames, -1, n_in)
        row_bytes = n_in * padded.itemsize
        overlapping: Array = np.ndarray(
            (n_frames, self.n_steps_out, _KERNEL_STEPS * n_in),
            np.float32,
            padded,
            strides=((self._n_steps + 2) * row_bytes, self._stride * row_bytes, padded.itemsize),
        )
        return overlapping.reshape(-1, _KERNEL_STEPS * n_in)


def _cuts() -> NDArray[np.intp]:
    """Return where the samples of each window lie within a frame and its context: shape (4, 256)."""
    n_samples = CONTEXT_SAMPLES + FRAME_SAMPLES
    reflected = np.arange(n_samples - 2, n_samples - 2 - _REFLECTED_SAMPLES, -1)
    lies_at = np.concatenate([np.arange(n_samples), reflected])
    return np.stack([lies_at[first : first + _WINDOW_SAMPLES] for first in np.arange(_WINDOWS) * _HOP_SAMPLES])


_CUTS: Final = _cuts()


def _sigmoid(values: Array) -> Array:
    bounded: Array = _HALF * (np.tanh(_HALF * values) + _ONE)  # overflows nowhere, unlike exp
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

"""What only a CUDA device needs. Written from NeMo's and PyTorch's sources; the tests of this repository run without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ...domain.errors import DeviceFailedError, ModelUnavailableError
from ...domain.ports import DeviceMemory

if TYPE_CHECKING:
    import torch

LONGEST_CLIP_S: Final = 1440.0  # 24 min of full attention: NVIDIA's model card, on 80 GB
BATCH_PADDED_S: Final = 960.0  # 32 clips of 30 s: chosen, not measured
_OUT_OF_MEMORY: Final = 2  # cudaErrorMemoryAllocation, <driver_types.h>
WARM_UP: Final = (32, 30.0)  # clips, seconds: the graphs' storage is sized here once and grown only by a larger batch


def device_named(asked: str) -> "torch.device":
    """Return the CUDA device `cuda` or `cuda:N`.

    Raises:
        ModelUnavailableError: It is not there; nothing else is taken in its place.
    """
    import torch

    device = torch.device(asked)
    if not torch.cuda.is_available():
        raise ModelUnavailableError(
            f"the device {asked} was asked for, and no CUDA device can be used here; set STT_DEVICE=cpu or auto"
        )
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ModelUnavailableError(
            f"the device {asked} was asked for, and there are {torch.cuda.device_count()} CUDA devices here"
        )
    return device


def best_precision() -> str:
    """Return `bfloat16`, or `float16` where the device computes bfloat16 only by emulation (before Ampere)."""
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def place(model: Any, device: "torch.device", dtype: "torch.dtype") -> None:
    """Move `model` to `device` with weights in `dtype`; the preprocessor computes features in float32 always.

    The weights are cast, autocast is not used: around the graphed decoder NeMo switches it off (label_looping_base.py).
    """
    for part in (model.encoder, model.decoder, model.joint):
        part.to(dtype)
    model.to(device)


def moved(batch: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """Copy from page-locked memory, so that the copy runs beside what the device does."""
    return batch.pin_memory().to(device, non_blocking=True)


@contextmanager
def watched() -> Iterator[None]:
    """Tell a batch too large for the memory, which a smaller one may follow, from a device that is lost.

    Raises:
        torch.OutOfMemoryError: What the failed batch held in PyTorch's cache has been given back.
        torch.AcceleratorError: So it has where CUDA itself found no memory, page-locked memory among it.
        DeviceFailedError: After any other error of the device every later call fails too, until the process ends.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise
    except torch.AcceleratorError as failure:
        if getattr(failure, "error_code", None) == _OUT_OF_MEMORY:
            torch.cuda.empty_cache()
            raise
        raise DeviceFailedError("the CUDA device failed; start the service again") from failure


def memory_of(device: "torch.device") -> DeviceMemory:
    """Return how full the device is; what PyTorch's cache holds counts as reserved, whether or not a tensor lies there."""
    import torch

    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    reserved_bytes = torch.cuda.memory_reserved(device)
    return DeviceMemory(total_bytes=total_bytes, used_bytes=total_bytes - free_bytes, reserved_bytes=reserved_bytes)


def graphs_of(model: Any) -> str:
    """Return how the decoder runs: `full_graph`, `no_while_loops`, `no_graphs`, or `off` where none is used."""
    mode = model.decoding.decoding.decoding_computer.cuda_graphs_mode
    return "off" if mode is None else str(getattr(mode, "value", mode))

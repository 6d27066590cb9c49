"""Which device a model runs on, and how precisely."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...domain.catalog import DeviceEntry
from ...domain.errors import ModelUnavailableError
from . import cpu, cuda

if TYPE_CHECKING:
    import torch

_DEVICES: Final = re.compile(r"auto|cpu|cuda(:\d+)?")
_PRECISIONS: Final = ("auto", "float32", "bfloat16", "float16")
_DRIVER: Final = Path("/proc/driver/nvidia/version")
_VERSION: Final = re.compile(r"\d+\.\d+[\d.]*")


def device_of(device: str, precision: str) -> "torch.device":
    """Return the device that is meant; `auto` is CUDA if there is one.

    Raises:
        ModelUnavailableError: There is no such device here, or no such precision on it.
    """
    if not _DEVICES.fullmatch(device):
        raise ModelUnavailableError(f"the device must be auto, cpu, cuda or cuda:N, not {device}; set STT_DEVICE")
    if precision not in _PRECISIONS:
        raise ModelUnavailableError(f"the precision must be one of {', '.join(_PRECISIONS)}, not {precision}; set STT_PRECISION")
    import torch  # late: it takes seconds to load

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.device("cpu") if device == "cpu" else cuda.device_named(device)
    if precision == "float16" and found.type == "cpu":
        raise ModelUnavailableError("the precision float16 needs a CUDA device; set STT_PRECISION to auto, float32 or bfloat16")
    return found


def describe_device(device: str, precision: str) -> DeviceEntry:
    """Tell what a model would run on, as `device_of` takes it.

    Raises:
        ModelUnavailableError: As there.
    """
    found = device_of(device, precision)
    import torch

    if found.type == "cpu":
        auto = "bfloat16 for a large model, else float32" if cpu.has_bf16() else "float32, for lack of bfloat16 instructions"
        doubt = ""
        if device == "auto" and (driver := driver_version()):
            built_for = torch.version.cuda or "no CUDA at all"
            doubt = f"the NVIDIA driver {driver} is here, and torch {torch.__version__}, built for CUDA {built_for}, finds no GPU"
        return DeviceEntry(device="cpu", precision=auto if precision == "auto" else precision, doubt=doubt)
    card, memory = torch.cuda.get_device_properties(found), cuda.memory_of(found)
    told = (
        f"{card.name}, compute capability {card.major}.{card.minor},"
        f" {(memory.total_bytes - memory.used_bytes) / 1e9:.0f} of {memory.total_bytes / 1e9:.0f} GB free,"
        f" driver {driver_version() or 'unknown'}, CUDA {torch.version.cuda}"
    )
    return DeviceEntry(device=str(found), precision=cuda.best_precision() if precision == "auto" else precision, told=told)


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver in the kernel, None where there is none, or the kernel is not Linux."""
    try:
        found = _VERSION.search(_DRIVER.read_text())
    except OSError:
        return None
    return found[0] if found else None

"""What only a CPU needs: precision by its instructions, kept memory, and layers that do no work twice."""

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

LONGEST_CLIP_S: Final = 300.0  # attention over 3,750 frames holds some 3 GB at once; chosen, not measured
BATCH_PADDED_S: Final = (
    96.0  # clips of 8 s ran at 17.7 audio seconds a second by 8 and at 20.7 by 16; more makes the others wait for little
)
_NICENESS: Final = 5
_LARGE_PARAMETERS: Final = 100_000_000  # below this neither bfloat16 nor a second thread saves what it costs; chosen
_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # <malloc.h>
_KEEPING: Final = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20))


def best_precision(model: Any) -> str:
    """Return `bfloat16` for a large model where the processor has the instructions, by its flags as Linux lists them."""
    return "bfloat16" if _is_large(model) and has_bf16() else "float32"


def has_bf16() -> bool:
    """Tell whether the processor computes in bfloat16, by its flags."""
    return bool(_BF16_FLAGS & _processor_flags())


def place(model: Any, dtype: "torch.dtype") -> None:
    """Ready `model` to run on this CPU, its encoder in `dtype`, decoder and features in float32; its layers are replaced."""
    import torch

    from .layers import replace_layers

    keep_freed_memory()
    is_large = _is_large(model)  # now: packed weights are no parameters
    model.encoder.to(dtype)
    replace_layers(model, packed=dtype == torch.bfloat16 and packs_bfloat16())
    if not is_large:
        # Its steps are too small to share: with eight live sessions on two cores a batch took 55 ms with one thread and 78
        # with two, which wait for each other while voice detection has a core. It holds for the whole process.
        torch.set_num_threads(1)


def packs_bfloat16() -> bool:
    """Tell whether oneDNN packs bfloat16 weights for this processor; PyTorch computes with them as they are on any."""
    import torch

    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def step_back() -> None:
    """Have the kernel prefer every other thread to this one, by a niceness of 5 more: they need a core for moments only.

    With the full-size model on one of two cores, at more than twice the load it can carry, refusals took 11 ms instead of 105 at
    the 99th percentile, and as much was transcribed (2026-11). Elsewhere than on Linux, where niceness is a process's, nothing
    happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))


def share_one_arena() -> None:
    """Have all threads of this process take their memory from one arena of glibc's: to be called before there is a second thread.

    A thread that has got an arena stays with it, and so do the blocks that `keep_freed_memory` has it keep: the same clips, heard
    by other threads than before, took their memory once more. And only the first arena can hold blocks of more than 64 MiB.
    Elsewhere than on glibc nothing happens.
    """
    _tell_glibc((_M_ARENA_MAX, 1))


def keep_freed_memory() -> None:
    """Have glibc keep what this process frees instead of giving every large block back to the kernel.

    Otherwise each forward maps and clears its activations anew: element-wise operations ran at 2 GB/s instead of 17 GB/s in
    training, and batches of 60 s through the full-size model took 5 to 20 % longer (2026-11, two virtual cores). The process
    stays as large as it once was. Elsewhere than on glibc nothing happens.
    """
    share_one_arena()  # what threads there may be yet
    _tell_glibc(*_KEEPING)


def _tell_glibc(*settings: tuple[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in settings:
            mallopt(parameter, value)


def _is_large(model: Any) -> bool:
    parameters: int = sum(parameter.numel() for parameter in model.parameters())
    return parameters >= _LARGE_PARAMETERS


def _processor_flags() -> frozenset[str]:
    """Return the first processor's flags as Linux lists them; none elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))

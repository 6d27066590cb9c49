"""What the figures were measured on."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

import psutil

from .child import ROOT
from .reference import Ready

_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})

_THREADING: Final = ("OMP_", "GOMP_", "KMP_", "MKL_", "TORCH_")  # variables that change how fast the same code is


def has_bf16_instructions() -> bool:
    """Tell whether the first processor lists instructions for bfloat16; False where Linux does not say."""
    return bool(_BF16_FLAGS & set(_first("flags").split()))


def environment(ready: Ready | None = None) -> dict[str, str]:
    """Describe machine and software, for people; without a model in a process of the benchmark's own, not what it says."""
    of_model = {}
    if ready:
        of_model = {"device": ready.device_name or ready.device, "parameters": f"{ready.parameters / 1e6:.1f} M", **ready.versions}
    return {
        "processor": _first("model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "bfloat16 instructions": "yes" if has_bf16_instructions() else "no",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "load before the run": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        **of_model,
        "python": platform.python_version(),
        "commit": _commit(),
        **{name: value for name, value in os.environ.items() if name.startswith(_THREADING)},
    }


def _first(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _commit() -> str:
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()

"""A pool of real processes that have traps in them, and what the tests ask of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from app.adapters.processes.normalizer import ProcessNormalizer
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import Samples
from app.domain.ports import Block
from app.testing.contracts_audio import HOUR, joined, wav_bytes
from tests.adapters.traps import TrappedNormalizer

MIB: Final = 2**20
PATIENCE_S: Final = 30.0
Trouble = tuple[str, dict[str, Any]]


@contextmanager
def pool(*, processes: int = 1, memory_mib: int = 64, stall_s: float = 20.0) -> Iterator[tuple[ProcessNormalizer, list[Trouble]]]:
    """Open a pool, all of whose processes are ready, and note what it tells."""
    troubles: list[Trouble] = []
    normalizer = ProcessNormalizer(
        TrappedNormalizer(),
        processes=processes,
        memory_bytes=memory_mib * MIB,
        stall_s=stall_s,
        on_trouble=lambda event, **facts: troubles.append((event, facts)),
    )
    with closing(normalizer):
        wait_until(lambda: len(normalizer._pool._usable()) == normalizer._pool._size)
        yield normalizer, troubles


def recording(seed: int, *, duration_s: float = 5.0) -> bytes:
    """Return a file of noise, so that no stretch of it is like another."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(duration_s * 44_100)).astype(np.float32)
    return wav_bytes(noise, rate_hz=44_100)


def long_recording(seed: int) -> bytes:
    """Return a file that cannot be decoded in one pull."""
    return recording(seed, duration_s=35)


def alone(data: bytes) -> Samples:
    """Decode in this process."""
    return joined(list(TorchaudioNormalizer().blocks(BytesIO(data), limits=HOUR)))


def begin(normalizer: ProcessNormalizer, data: bytes) -> Iterator[Block]:
    return iter(normalizer.blocks(BytesIO(data), limits=HOUR))


def heard(normalizer: ProcessNormalizer, data: bytes) -> Samples:
    return joined(list(begin(normalizer, data)))


def decoders(normalizer: ProcessNormalizer) -> list[psutil.Process]:
    """Return the processes of a pool, once one of them is ready."""
    normalizer.wait_until_ready()
    return [psutil.Process(process.pid) for process in normalizer._pool._processes]


def decoder_of(normalizer: ProcessNormalizer) -> psutil.Process:
    """Return the process of a pool of one."""
    (decoder,) = decoders(normalizer)
    return decoder


def peak_bytes(process: psutil.Process) -> int:
    """Return the most memory the process has had at a time, since it began or `forget_peak`."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def forget_peak(process: psutil.Process) -> int:
    """Have the peak of a process begin anew, and return what it has now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc(5)
    return peak_bytes(process)


def wait_until(true: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

"""How much is measured: enough to see what is asked, within a time somebody waits."""

from typing import Any, Final, Literal

import msgspec

Arrivals = Literal["even", "poisson"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a run. The defaults are for a large model on a CPU, where a second of audio costs 0.1 s."""

    rounds: int = 3
    n_clips: int = 64  # of mixed lengths, for throughput
    shortest_s: float = 2.0
    longest_s: float = 8.0
    short_clip_s: float = 4.0  # of single requests
    long_clip_s: float = 15.0
    n_single: int = 3  # single requests of a row per round
    n_outside: int = 100  # requests per round to the service whose model answers at once
    concurrencies: tuple[int, ...] = (1, 4, 16, 64)
    batch_sizes: tuple[int, ...] = (1, 4, 16)  # of NeMo, the best of which is used
    equal_clip_s: float = 4.0  # clips of equal length, for latency under load
    equal_concurrency: int = 16  # in closed loop, for the rate that loads are shares of
    n_equal: int = 64
    loads: tuple[float, ...] = (0.5, 0.8)  # of the rate in closed loop
    arrivals: Arrivals = "poisson"
    open_s: float = 60.0  # how long arrivals last
    patience_s: float = 60.0  # after its arrival a request without answer is given up; the official client waits for ten minutes
    overload: float = 2.0
    long_file_s: float = 3600.0
    profile_repeats: int = 5
    clients: int = 1


BUNDLED: Final = Plan(
    rounds=5, n_clips=128, shortest_s=2.0, longest_s=6.0, long_clip_s=6.0, n_single=20, batch_sizes=(1, 4, 16, 32),
    profile_repeats=20, equal_concurrency=64, n_equal=512, loads=(0.2, 0.5, 0.8, 0.95), open_s=30.0,
)  # fmt: skip
CUDA: Final = Plan(
    rounds=5, n_clips=1024, shortest_s=2.0, longest_s=20.0, n_single=20, n_outside=500, batch_sizes=(16, 32, 64, 128),
    concurrencies=(1, 4, 16, 64, 256), equal_concurrency=256, n_equal=2048, loads=(0.2, 0.5, 0.8, 0.95), open_s=20.0,
    profile_repeats=20, clients=4,
)  # fmt: skip
QUICK: Final = {
    "rounds": 2, "n_clips": 32, "n_single": 5, "n_outside": 50, "n_equal": 128, "loads": (0.5, 0.8), "open_s": 6.0,
    "long_file_s": 300.0, "profile_repeats": 5,
}  # fmt: skip


def plan_for(*, small: bool, device: str, quick: bool, **given: Any) -> Plan:
    """Choose a plan by model and device; what is given, and not None, stands."""
    chosen = CUDA if device.startswith("cuda") else BUNDLED if small else Plan()
    changes = (QUICK if quick else {}) | {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(chosen, **changes)

"""Where services say how much waits: one actor of the cluster, on whichever machine."""

from time import monotonic
from typing import Any, Final

_NAME: Final = "parakeet-stt-board"
_FORGOTTEN_S: Final = 10.0  # of a service that has said nothing for so long, nothing waits


class Board:
    """Remembers what every service has said last. Its methods are called by its handle."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, float]] = {}

    def tell(self, service: str, audio_s: float) -> None:
        """Note how many seconds of audio wait or run at a service."""
        self._told[service] = (audio_s, monotonic() + _FORGOTTEN_S)

    def total_s(self) -> float:
        """Return the seconds of all services that are still there."""
        now_s = monotonic()
        self._told = {service: told for service, told in self._told.items() if now_s < told[1]}
        return sum(audio_s for audio_s, _ in self._told.values())


def hang_up() -> None:
    """Have a board, unless there is one; it starts again by itself where it is lost."""
    import ray

    how = {"name": _NAME, "namespace": _NAME, "lifetime": "detached", "get_if_exists": True, "num_cpus": 0, "max_restarts": -1}
    ray.remote(Board).options(**how).remote()


def found() -> Any:
    """Return the board's handle, None where nobody has hung one up."""
    import ray

    try:
        return ray.get_actor(_NAME, namespace=_NAME)
    except ValueError:
        return None


def take_down() -> None:
    """End it, if there is one."""
    import ray

    if board := found():
        ray.kill(board)

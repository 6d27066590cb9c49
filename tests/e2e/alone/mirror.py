"""A model that tells of the process it runs in."""

import gc

from threadpoolctl import threadpool_info

from app.settings import Settings
from app.testing.recognizers import FakeRecognizer


def mirror(_settings: Settings) -> FakeRecognizer:
    """Make one, for `STT_RECOGNIZER`."""
    return FakeRecognizer(lambda _clip: f"{gc.get_freeze_count()} objects, {_threads()} threads")


def _threads() -> int:
    """Return how many numpy multiplies on."""
    (threads,) = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]}
    return int(threads)

"""What the recogniser does to the process it runs in, on a CPU."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adapters.nemo.cpu import step_back


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
def test_only_the_thread_that_runs_the_model_steps_back() -> None:
    before = niceness()
    with ThreadPoolExecutor(1) as owner:
        owner.submit(step_back).result()
        assert owner.submit(niceness).result() == min(19, before + 5)
    assert niceness() == before

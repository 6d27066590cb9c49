"""What the recogniser does to the process it runs in, on a CPU."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adapters.nemo.cpu import step_back
from app.adapters.nemo.recognizer import NemoRecognizer


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")


def test_only_the_thread_that_runs_the_model_steps_back() -> None:
    before = niceness()
    with ThreadPoolExecutor(1) as owner:
        owner.submit(step_back).result()
        assert owner.submit(niceness).result() == min(19, before + 5)
    assert niceness() == before


def test_whoever_makes_a_recogniser_keeps_their_niceness_unless_they_say_so() -> None:
    before = niceness()
    with ThreadPoolExecutor(1) as caller, ThreadPoolExecutor(1) as owner:
        caller.submit(NemoRecognizer, "bundled", device="cpu").result()
        assert caller.submit(niceness).result() == before
        owner.submit(NemoRecognizer, "bundled", device="cpu", step_back=True).result()
        assert owner.submit(niceness).result() == min(19, before + 5)

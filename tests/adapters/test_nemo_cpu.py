"""What the recogniser does to the process it runs in, on a CPU."""

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adapters.nemo.cpu import step_back
from app.adapters.nemo.recognizer import NemoRecognizer

# Takes memory in 4 threads that live at the same time, and prints how many arenas glibc has then.
ARENAS = """
import ctypes, tempfile, threading
from app.adapters.nemo.cpu import keep_freed_memory, share_one_arena
{first}
c, together = ctypes.CDLL(None), threading.Barrier(5)
c.fdopen.restype = ctypes.c_void_p
def take():
    c.malloc(1000)
    together.wait()
threads = [threading.Thread(target=take) for _ in range(4)]
[thread.start() for thread in threads]
together.wait()
with tempfile.TemporaryFile() as told:
    stream = ctypes.c_void_p(c.fdopen(told.fileno(), b"w"))
    c.malloc_info(0, stream)
    c.fflush(stream)
    told.seek(0)
    print(told.read().count(b"<heap nr="))
"""


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_that_start_later_share_one_arena_and_elsewise_have_several() -> None:
    def arenas(first: str) -> int:
        code = ARENAS.format(first=first)
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert arenas("") > 1
    assert arenas("share_one_arena()") == arenas("keep_freed_memory()") == 1

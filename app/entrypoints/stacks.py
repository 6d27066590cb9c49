"""What every thread and every task is doing: source lines, and no value of any variable."""

import asyncio
import sys
import threading
import traceback
from types import FrameType


def stacks() -> str:
    """Return the stack of each thread, then of each task of the running event loop, outermost call first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    threads = [
        f"thread {names.get(ident, 'of no name')}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    tasks = [
        f"task {task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}\n{_lines(task.get_stack())}"
        for task in asyncio.all_tasks()
    ]
    return "\n".join([*threads, *tasks])


def _lines(frames: list[FrameType]) -> str:
    return "".join(traceback.format_list([traceback.extract_stack(frame, limit=1)[0] for frame in frames]))

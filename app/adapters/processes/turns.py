"""A lock that is handed on in the order in which it was asked for."""

from collections import deque
from threading import Lock


class Turns:
    """`with turns:` waits for its turn. Python's own lock may go to the same thread again and again while others wait."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Lock] = deque()
        self._taken = False

    @property
    def n_inside(self) -> int:
        """How many hold it or wait for it."""
        return len(self._waiting) + self._taken

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # the one before releases it: the turn passes on without ever being free

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

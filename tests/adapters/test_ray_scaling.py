"""How many replicas there shall be, by what waits; no cluster is needed for that."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.adapters.ray.board import Board
from app.adapters.ray.scaling import METRIC, ByQueuedAudio


def series(*values: float) -> list[Any]:
    return [SimpleNamespace(timestamp=float(i), value=value) for i, value in enumerate(values)]


def needed(waiting: Sequence[tuple[float, float]], *, idle_s: float = 60.0) -> list[int]:
    """Tell the policy what waits at which time, with 100 s for each replica, and return what it wants each time."""
    policy, state, wanted = ByQueuedAudio(replica_audio_s=100.0, idle_s=idle_s), dict[str, Any](), list[int]()
    for now_s, waits_s in waiting:
        metrics = {METRIC: {"a": series(9_999.0, waits_s), "b": series(waits_s), "c": []}, "running": {"a": series(99.0)}}
        n, state = policy(SimpleNamespace(current_time=now_s, raw_metrics=metrics, policy_state=state))
        wanted.append(n)
    return wanted


def test_what_services_say_adds_up_and_is_forgotten_where_they_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("app.adapters.ray.board.monotonic", lambda: now_s[0])
    board = Board()
    assert board.total_s() == 0.0
    for audio_s in (500.0, 30.0):
        board.tell("a", audio_s)
    now_s[0] = 6.0
    board.tell("b", 5.0)
    assert board.total_s() == 35.0
    now_s[0] = 12.0
    assert board.total_s() == 5.0


def test_nothing_is_wanted_where_nobody_has_told_anything() -> None:
    context = SimpleNamespace(current_time=0.0, raw_metrics=None, policy_state={})
    assert ByQueuedAudio(replica_audio_s=100.0, idle_s=60.0)(context)[0] == 0


def test_more_are_wanted_at_once() -> None:
    assert needed([(0.0, 0.0), (1.0, 100.0), (2.0, 101.0), (3.0, 950.0)]) == [0, 1, 2, 10]


def test_fewer_are_wanted_once_they_have_been_enough_for_long_enough() -> None:
    assert needed([(0.0, 950.0), (1.0, 350.0), (30.0, 0.0), (59.0, 0.0), (60.5, 0.0), (61.5, 0.0)]) == [10, 10, 10, 10, 4, 0]


def test_a_load_that_comes_and_goes_faster_than_that_changes_nothing() -> None:
    swinging = [(float(at_s), 400.0 if at_s % 20 == 0 else 0.0) for at_s in range(0, 600, 10)]
    assert set(needed(swinging)) == {4}

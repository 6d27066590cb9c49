import math

import pytest

from app.domain.pace import Pace


def test_the_pace_follows_the_last_batches() -> None:
    pace = Pace()
    assert pace.per_padded_s == 0
    pace = pace.after(run_s=1.0, padded_s=10.0)
    assert pace.per_padded_s == pytest.approx(0.1)
    for _ in range(30):
        pace = pace.after(run_s=3.0, padded_s=10.0)
    assert pace.per_padded_s == pytest.approx(0.3, rel=0.05)


def ran(*batches: tuple[float, float]) -> Pace:
    """After batches of so many padded seconds that each ran so many seconds."""
    pace = Pace()
    for padded_s, run_s in batches:
        pace = pace.after(run_s=run_s, padded_s=padded_s)
    return pace


def test_what_every_batch_costs_is_told_from_what_its_sound_costs() -> None:
    costs = [(padded_s, 0.02 + 0.003 * padded_s) for padded_s in (2.0, 3.0, 8.0, 2.0, 5.0)]
    assert ran(*costs).padded_within_s(0.1) == pytest.approx(0.08 / 0.003)
    assert ran(*costs).padded_within_s(0.01) == 0.0


def test_batches_of_one_size_tell_nothing_of_others_but_the_plain_ratio() -> None:
    assert ran((2.0, 0.03), (2.0, 0.03)).padded_within_s(0.1) == pytest.approx(0.1 * 2.0 / 0.03)
    assert ran((2.0, 0.03)).padded_within_s(0.1) == pytest.approx(0.1 * 2.0 / 0.03)


def test_before_anything_ran_any_batch_may_run() -> None:
    assert Pace().padded_within_s(0.1) == math.inf


def test_batches_too_quick_for_the_clock_bound_nothing() -> None:
    assert ran((2.0, 0.0), (2.0, 0.0)).padded_within_s(0.1) == math.inf


def test_batches_that_ran_the_shorter_the_larger_they_were_promise_no_endless_ones() -> None:
    assert ran((2.0, 0.05), (4.0, 0.01)).padded_within_s(0.1) < 10 * 6.0 / 0.06 * 0.1 + 1e-9

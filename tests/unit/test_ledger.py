"""Token buckets: what may be drawn over any time, debts, and how many accounts are remembered."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from app.entrypoints.ledger import Ledger

ME: Final = "me"
RATES: Final = st.floats(0.1, 1e6)
STARTS: Final = st.floats(0, 1e8)  # a clock may have run for years
STEPS: Final = st.lists(st.tuples(st.floats(0, 120), st.floats(0, 1e4)), max_size=30)  # seconds passed, amount asked for


@given(rate=RATES, now_s=STARTS)
def test_a_new_account_has_what_a_minute_brings(rate: float, now_s: float) -> None:
    ledger = Ledger(per_minute=rate)
    assert ledger.left(ME, now_s=now_s) == rate
    assert ledger.full_in_s(ME, now_s=now_s) == ledger.wait_s(ME, rate, now_s=now_s) == 0


@given(rate=RATES, start_s=STARTS, steps=STEPS)
def test_what_was_drawn_only_where_it_was_there_is_never_more_than_a_bucket_and_what_time_brings(
    rate: float, start_s: float, steps: list[tuple[float, float]]
) -> None:
    ledger, now_s, drawn = Ledger(per_minute=rate), start_s, 0.0
    for passed_s, amount in steps:
        now_s += passed_s
        if ledger.left(ME, now_s=now_s) >= amount:
            ledger.draw(ME, amount, now_s=now_s)
            drawn += amount
        allowed = rate * (1 + (now_s - start_s) / 60)
        assert drawn <= allowed * (1 + 1e-9) + rate * 1e-6
        assert -rate * 1e-6 <= ledger.left(ME, now_s=now_s) <= rate


@given(rate=RATES, start_s=STARTS, steps=STEPS)
def test_a_bucket_holds_what_it_held_less_what_was_drawn_and_more_with_time_and_is_never_over_full(
    rate: float, start_s: float, steps: list[tuple[float, float]]
) -> None:
    """Against the plain way to keep a bucket: a level, and when it was right."""
    ledger, now_s, level = Ledger(per_minute=rate), start_s, rate
    for passed_s, amount in steps:
        now_s += passed_s
        level = min(rate, level + rate * passed_s / 60) - amount
        ledger.draw(ME, amount, now_s=now_s)
        slack = 1e-6 * (rate + abs(level))
        assert abs(ledger.left(ME, now_s=now_s) - level) <= slack


@given(rate=RATES, now_s=STARTS, debt=st.floats(0, 1e4), share=st.floats(0, 1))
def test_who_waits_as_long_as_told_finds_what_was_asked_for(rate: float, now_s: float, debt: float, share: float) -> None:
    ledger = Ledger(per_minute=rate)
    ledger.draw(ME, rate + debt, now_s=now_s)
    least = share * rate
    wait_s = ledger.wait_s(ME, least, now_s=now_s)
    assert ledger.left(ME, now_s=now_s + wait_s + 1e-3) > least - rate * 1e-9
    if wait_s > 1:
        assert ledger.left(ME, now_s=now_s + 0.99 * wait_s) < least


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 90)), max_size=40))
def test_accounts_know_nothing_of_one_another(draws: list[tuple[int, float]]) -> None:
    together, now_s = Ledger(per_minute=60), 1_000.0
    alone = {name: Ledger(per_minute=60) for name in range(10)}
    for name, amount in draws:
        now_s += 1
        for ledger in (together, alone[name]):
            ledger.draw(str(name), amount, now_s=now_s)
    for name, ledger in alone.items():
        assert together.left(str(name), now_s=now_s) == ledger.left(str(name), now_s=now_s)


@given(st.lists(st.integers(0, 30), max_size=200))
def test_only_so_many_accounts_are_remembered_and_those_that_drew_last(names: list[int]) -> None:
    ledger = Ledger(per_minute=60, most_accounts=5)
    for name in names:
        ledger.draw(str(name), 600, now_s=0.0)
    latest = list(dict.fromkeys(reversed(names)))[:5]
    assert ledger.n_accounts == len(latest)
    for name in range(31):
        assert (ledger.left(str(name), now_s=0.0) < 0) == (name in latest)


def test_nothing_drawn_is_nothing_remembered() -> None:
    ledger = Ledger(per_minute=60)
    ledger.draw(ME, 0.0, now_s=0.0)
    assert ledger.n_accounts == 0

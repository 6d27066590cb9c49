"""The planner: who goes next, with whom, and that everybody goes."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from app.domain.batching import Waiting, next_batch

PADDED_S: Final = 60.0
LINGER_S: Final = 0.5


def clip(ticket: int, duration_s: float, *, since_s: float = 0.0, live: bool = False) -> Waiting:
    return Waiting(ticket=ticket, duration_s=duration_s, since_s=since_s, live=live)


def plan(*waiting: Waiting, now_s: float = 100.0, padded_s: float = PADDED_S) -> tuple[int, ...]:
    chosen = next_batch(waiting, now_s=now_s, padded_s=padded_s, linger_s=LINGER_S)
    assert set(chosen) <= set(waiting)
    return tuple(item.ticket for item in chosen)


queues = st.lists(
    st.tuples(
        st.floats(0.01, 100.0, allow_nan=False), st.floats(0, 100, allow_nan=False), st.booleans()
    ),
    min_size=1,
    max_size=20,
).map(
    lambda drawn: [
        clip(ticket, duration_s, since_s=since_s, live=live) for ticket, (duration_s, since_s, live) in enumerate(drawn)
    ]
)  # fmt: skip


def test_nothing_waiting_is_no_batch() -> None:
    assert plan() == ()


def test_a_lone_clip_waits_for_company_only_for_its_linger() -> None:
    alone = clip(1, 4.0, since_s=10.0)
    assert plan(alone, now_s=10.25) == ()
    assert plan(alone, now_s=10.5) == (1,)


def test_two_clips_wait_for_nobody() -> None:
    assert plan(clip(1, 4.0), clip(2, 4.0), now_s=0.0) == (1, 2)


def test_live_goes_before_files_however_long_they_have_waited() -> None:
    assert plan(clip(1, 4.0, since_s=0.0), clip(2, 4.0, since_s=99.0, live=True)) == (2,)


def test_live_and_files_share_no_batch() -> None:
    assert plan(clip(1, 4.0), clip(2, 4.0, live=True), clip(3, 4.0), clip(4, 4.0, live=True)) == (2, 4)


def test_the_oldest_is_in_the_batch_and_of_the_same_age_the_first_to_come() -> None:
    assert plan(clip(1, 50.0, since_s=2.0), clip(2, 50.0, since_s=1.0)) == (2,)
    assert plan(clip(1, 50.0), clip(2, 50.0)) == (1,)


def test_clips_of_like_length_go_together() -> None:
    waiting = [clip(1, 10.0), clip(2, 30.0), clip(3, 1.0), clip(4, 10.5), clip(5, 9.5), clip(6, 11.0), clip(7, 9.0)]
    assert sorted(plan(*waiting)) == [1, 4, 5, 6, 7]


def test_a_clip_longer_than_a_whole_batch_goes_alone() -> None:
    assert plan(clip(1, 90.0), clip(2, 1.0), clip(3, 90.0)) == (1,)


def test_a_clip_that_just_fits_goes_and_one_that_does_not_stays() -> None:
    assert plan(clip(1, 10.0), clip(2, 30.0)) == (1, 2)
    assert plan(clip(1, 10.0), clip(2, 30.1)) == (1,)


@given(queues, st.floats(0.1, 200))
def test_a_batch_holds_the_oldest_of_its_class_each_once_and_keeps_the_limit(queue: list[Waiting], padded_s: float) -> None:
    chosen = next_batch(queue, now_s=1_000.0, padded_s=padded_s, linger_s=LINGER_S)
    live = any(item.live for item in queue)
    oldest = min((item for item in queue if item.live is live), key=lambda item: (item.since_s, item.ticket))
    assert chosen[0] == oldest
    assert all(item.live is live for item in chosen)
    assert len({item.ticket for item in chosen}) == len(chosen)
    assert len(chosen) == 1 or len(chosen) * max(item.duration_s for item in chosen) <= padded_s


@given(queues, st.floats(0.1, 200))
def test_every_clip_is_taken_in_the_end_and_none_later_than_its_turn(queue: list[Waiting], padded_s: float) -> None:
    waiting, turns = list(queue), 0
    taken: list[Waiting] = []
    while waiting:
        chosen = next_batch(waiting, now_s=1_000.0, padded_s=padded_s, linger_s=LINGER_S)
        taken += chosen
        waiting = [item for item in waiting if item not in chosen]
        turns += 1
        assert turns <= len(queue)
    assert sorted(item.ticket for item in taken) == [item.ticket for item in queue]


@given(queues)
def test_the_plan_does_not_depend_on_the_order_of_the_queue(queue: list[Waiting]) -> None:
    mixed = queue[::-1]
    assert next_batch(mixed, now_s=1_000.0, padded_s=PADDED_S, linger_s=LINGER_S) == next_batch(
        queue, now_s=1_000.0, padded_s=PADDED_S, linger_s=LINGER_S
    )

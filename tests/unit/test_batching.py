"""The planner: who goes next, with whom, when it is better to wait, and that everybody goes."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from app.domain.batching import BatchRules, Moment, Waiting, next_batch

PADDED_S: Final = 60.0
LINGER_S: Final = 0.5
PATIENCE_S: Final = 2.0
RULES: Final = BatchRules(padded_s=PADDED_S, linger_s=LINGER_S, file_patience_s=PATIENCE_S, file_run_s=0.3)
LATE: Final = Moment(now_s=1_000.0)


def clip(ticket: int, duration_s: float, *, since_s: float = 0.0, live: bool = False, tentative: bool = False) -> Waiting:
    return Waiting(ticket=ticket, duration_s=duration_s, since_s=since_s, live=live, tentative=tentative)


def plan(*waiting: Waiting, moment: Moment = LATE, rules: BatchRules = RULES) -> tuple[int, ...]:
    chosen = next_batch(waiting, rules, moment)
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
moments = st.builds(
    Moment, now_s=st.just(1_000.0), company=st.integers(1, 30), after_live=st.booleans(), live_open=st.booleans(),
    file_padded_s=st.floats(0, 100), tentative_padded_s=st.floats(0, 100),
)  # fmt: skip


def test_what_is_final_goes_before_what_is_tentative_and_apart_from_it() -> None:
    older, final, newer = (clip(i, 2.0, since_s=float(i), live=True, tentative=i != 2) for i in (1, 2, 3))
    assert plan(older, final, newer) == (2,)
    assert plan(older, newer) == (1, 3)
    assert plan(clip(4, 2.0), older) == (1,), "and both before files"


def test_a_tentative_batch_is_as_large_as_runs_within_its_limit() -> None:
    partials = [clip(i, 4.0, live=True, tentative=True) for i in range(12)]
    finals = [clip(i, 4.0, live=True) for i in range(12)]
    assert len(plan(*partials, moment=Moment(now_s=1_000.0, tentative_padded_s=10.0))) == 2
    assert len(plan(*partials, moment=Moment(now_s=1_000.0, tentative_padded_s=0.0))) == 1
    assert len(plan(*finals, moment=Moment(now_s=1_000.0, tentative_padded_s=10.0))) == 12


def test_a_tentative_batch_is_never_prepared_ahead() -> None:
    partials = [clip(i, 4.0, live=True, tentative=True) for i in range(40)]
    assert plan(*partials, moment=Moment(now_s=1_000.0, ahead=True)) == ()


def test_nothing_waiting_is_no_batch() -> None:
    assert plan() == ()


def test_a_clip_waits_for_the_company_of_the_last_batch_and_only_for_its_linger() -> None:
    alone = clip(1, 4.0, since_s=10.0)
    assert plan(alone, moment=Moment(now_s=10.25, company=2)) == ()
    assert plan(alone, moment=Moment(now_s=10.5, company=2)) == (1,)


def test_a_clip_waits_for_nobody_where_the_last_one_was_alone() -> None:
    assert plan(clip(1, 4.0, since_s=10.0), moment=Moment(now_s=10.0, company=1)) == (1,)


def test_as_many_as_the_last_batch_held_wait_for_nobody() -> None:
    assert plan(clip(1, 4.0), clip(2, 4.0), moment=Moment(now_s=0.0, company=2)) == (1, 2)


def test_a_full_batch_waits_for_nobody() -> None:
    assert plan(clip(1, 31.0), clip(2, 31.0), moment=Moment(now_s=0.0, company=30)) == (1,)


def test_while_another_batch_runs_only_a_full_one_is_prepared() -> None:
    ahead = Moment(now_s=1_000.0, ahead=True)
    assert plan(clip(1, 20.0), clip(2, 20.0), moment=ahead) == ()
    assert plan(clip(1, 20.0), clip(2, 20.0), clip(3, 20.0), moment=ahead) == (1, 2, 3)


def test_while_a_live_session_is_open_no_file_batch_is_prepared_ahead_of_it() -> None:
    files = [clip(ticket, 20.0) for ticket in range(3)]
    assert plan(*files, moment=Moment(now_s=1_000.0, ahead=True, live_open=True)) == ()
    live = [clip(ticket, 20.0, live=True) for ticket in range(3)]
    assert plan(*live, moment=Moment(now_s=1_000.0, ahead=True, live_open=True)) == (0, 1, 2)


def test_live_goes_before_files() -> None:
    assert plan(clip(1, 4.0, since_s=0.0), clip(2, 4.0, since_s=99.0, live=True)) == (2,)


def test_files_that_have_waited_long_take_turns_with_live() -> None:
    waiting = [clip(1, 4.0, since_s=10.0), clip(2, 4.0, since_s=11.0, live=True)]
    assert plan(*waiting, moment=Moment(now_s=10.0 + PATIENCE_S, after_live=True)) == (1,)
    assert plan(*waiting, moment=Moment(now_s=10.0 + PATIENCE_S, after_live=False)) == (2,)
    assert plan(*waiting, moment=Moment(now_s=9.9 + PATIENCE_S, after_live=True)) == (2,)


def test_live_and_files_share_no_batch() -> None:
    assert plan(clip(1, 4.0), clip(2, 4.0, live=True), clip(3, 4.0), clip(4, 4.0, live=True)) == (2, 4)


def test_while_a_live_session_is_open_a_file_batch_holds_what_runs_in_its_time() -> None:
    files = [clip(ticket, 5.0) for ticket in range(12)]
    assert len(plan(*files, moment=Moment(now_s=1_000.0, file_padded_s=15.0))) == 12
    assert len(plan(*files, moment=Moment(now_s=1_000.0, file_padded_s=15.0, live_open=True))) == 3
    assert len(plan(*files, moment=Moment(now_s=1_000.0, live_open=True))) == 12  # nothing measured yet
    assert len(plan(*files, moment=Moment(now_s=1_000.0, file_padded_s=0.0, live_open=True))) == 1  # one clip goes however slow


def test_the_oldest_is_in_the_batch_and_of_the_same_age_the_first_to_come() -> None:
    assert plan(clip(1, 50.0, since_s=2.0), clip(2, 50.0, since_s=1.0)) == (2,)
    assert plan(clip(1, 50.0), clip(2, 50.0)) == (1,)


def test_clips_of_like_length_go_together() -> None:
    waiting = [clip(1, 10.0), clip(2, 30.0), clip(3, 1.0), clip(4, 10.5), clip(5, 9.5), clip(6, 11.0), clip(7, 9.0)]
    assert sorted(plan(*waiting)) == [1, 4, 5, 6, 7]


def test_a_clip_does_not_join_much_longer_or_shorter_ones_though_there_is_room() -> None:
    assert plan(clip(1, 4.0), clip(2, 8.0), clip(3, 8.1), clip(4, 2.0), clip(5, 1.9)) == (1, 4)
    assert plan(clip(1, 0.2), clip(2, 1.2), clip(3, 1.21)) == (1, 2)  # within a second all are alike


def test_a_clip_longer_than_a_whole_batch_goes_alone() -> None:
    assert plan(clip(1, 90.0), clip(2, 1.0), clip(3, 90.0)) == (1,)


def test_a_clip_that_just_fits_goes_and_one_that_does_not_stays() -> None:
    assert plan(clip(1, 20.0), clip(2, 30.0)) == (1, 2)
    assert plan(clip(1, 20.0), clip(2, 30.1)) == (1,)


@given(queues, st.floats(0.1, 200), moments)
def test_a_batch_is_of_one_class_holds_its_oldest_each_once_and_keeps_the_limit(
    queue: list[Waiting], padded_s: float, moment: Moment
) -> None:
    chosen = next_batch(queue, BatchRules(padded_s=padded_s), moment)
    live = chosen[0].live
    assert chosen[0] == min((item for item in queue if item.live is live), key=lambda item: (item.since_s, item.ticket))
    assert all(item.live is live for item in chosen)
    assert len({item.ticket for item in chosen}) == len(chosen)
    assert len(chosen) == 1 or len(chosen) * max(item.duration_s for item in chosen) <= padded_s


@given(queues, st.floats(0.1, 200), st.floats(0.1, 5.0))
def test_no_clip_goes_later_than_its_turn_though_new_live_clips_never_end(
    queue: list[Waiting], padded_s: float, run_s: float
) -> None:
    """The bound the planner states, with a live clip arriving before every batch."""
    rules, now_s, after_live = BatchRules(padded_s=padded_s), 100.0, False
    waiting = list(queue)
    older = {item.ticket: sum(other.live is item.live and _age(other) < _age(item) for other in queue) for item in queue}
    ticket = len(queue)
    while any(item.ticket < len(queue) for item in waiting):
        waiting.append(clip(ticket, 1.0, since_s=now_s, live=True))
        ticket += 1
        chosen = next_batch(waiting, rules, Moment(now_s=now_s, after_live=after_live))
        for item in chosen:
            if item.ticket < len(queue):
                turns = older[item.ticket] + 1
                assert now_s - 100.0 <= rules.file_patience_s + run_s + 2 * turns * run_s
        waiting = [item for item in waiting if item not in chosen]
        after_live, now_s = chosen[0].live, now_s + run_s


def _age(item: Waiting) -> tuple[float, int]:
    return item.since_s, item.ticket


@given(queues, moments)
def test_the_plan_does_not_depend_on_the_order_of_the_queue(queue: list[Waiting], moment: Moment) -> None:
    assert next_batch(queue[::-1], RULES, moment) == next_batch(queue, RULES, moment)

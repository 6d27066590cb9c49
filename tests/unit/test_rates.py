"""The rates of one caller: when it is refused, for how long, and what it is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import RateLimitedError
from app.entrypoints.rates import RATE_HEADERS, Meter, Rates


class Clock:
    def __init__(self) -> None:
        self.now_s = 5_000.25

    def __call__(self) -> float:
        return self.now_s


def make_meter(clock: Clock, *, requests: int = 0, audio_s: int = 0) -> Meter:
    return Rates(requests_per_minute=requests, audio_s_per_minute=audio_s, now_s=clock).meter("me")


def told_by(meter: Meter) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in meter.headers()}


def test_without_limits_nothing_is_refused_and_nothing_told() -> None:
    meter = make_meter(Clock())
    for _ in range(1_000):
        meter.count_request()
        meter.check_audio()
        meter.count_audio(1e6)
    assert meter.headers() == []


def test_one_request_too_many_is_refused_until_the_next_has_come() -> None:
    clock = Clock()
    meter = make_meter(clock, requests=3)
    for _ in range(3):
        meter.count_request()
    for _ in range(5):  # who is refused owes nothing for asking
        with pytest.raises(RateLimitedError, match="3 requests per minute") as refused:
            meter.count_request()
        assert refused.value.retry_after_s == 21  # of 20, and a moment
    clock.now_s += 21
    meter.count_request()
    with pytest.raises(RateLimitedError):
        meter.count_request()


def test_audio_may_go_into_debt_which_must_be_paid_before_more_comes() -> None:
    clock = Clock()
    meter = make_meter(clock, audio_s=60)
    meter.count_audio(59.5)
    meter.check_audio()
    meter.count_audio(100.5)
    with pytest.raises(RateLimitedError, match="60 s of audio per minute") as refused:
        meter.check_audio()
    assert refused.value.retry_after_s == 101
    clock.now_s += 99
    with pytest.raises(RateLimitedError):
        meter.check_audio()
    clock.now_s += 2
    meter.check_audio()


@given(requests=st.integers(1, 10**6), audio_s=st.integers(1, 10**6), heard_s=st.floats(0, 1e5), start_s=st.floats(0, 1e8))
def test_who_comes_again_when_told_is_let_in(requests: int, audio_s: int, heard_s: float, start_s: float) -> None:
    clock = Clock()
    clock.now_s = start_s
    meter = make_meter(clock, requests=requests, audio_s=audio_s)
    meter.count_audio(audio_s + heard_s)
    with pytest.raises(RateLimitedError) as refused:
        meter.check_audio()
    clock.now_s += refused.value.retry_after_s
    meter.check_audio()
    try:
        for _ in range(10):
            meter.count_request()
    except RateLimitedError as asked_too_often:
        clock.now_s += asked_too_often.retry_after_s
        meter.count_request()


def test_callers_have_rates_of_their_own() -> None:
    rates = Rates(requests_per_minute=1, audio_s_per_minute=0, now_s=Clock())
    rates.meter("one").count_request()
    rates.meter("other").count_request()
    with pytest.raises(RateLimitedError):
        rates.meter("one").count_request()  # the meters of one caller count together


def test_headers_tell_what_is_left_and_when_all_is_there_again() -> None:
    clock = Clock()
    meter = make_meter(clock, requests=60, audio_s=120)
    assert list(told_by(meter)) == list(RATE_HEADERS)
    assert list(told_by(meter).values()) == ["60", "60", "0s", "120", "120", "0s"]
    meter.count_request()
    meter.count_audio(200)
    told = told_by(meter)
    assert (told["x-ratelimit-remaining-requests"], told["x-ratelimit-reset-requests"]) == ("59", "1s")
    assert (told["x-ratelimit-remaining-audio-seconds"], told["x-ratelimit-reset-audio-seconds"]) == ("0", "1m40s")
    clock.now_s += 0.5
    assert told_by(meter)["x-ratelimit-reset-requests"] == "500ms"


@pytest.mark.parametrize(
    ("debt_s", "shown"),
    [(-59.99, "10ms"), (-59, "1s"), (-58.5, "1.5s"), (0, "1m0s"), (60, "2m0s"), (3_540, "1h0m0s"), (3_665.25, "1h2m5.25s")],
)
def test_times_are_written_as_openai_writes_them(debt_s: float, shown: str) -> None:
    meter = make_meter(Clock(), audio_s=60)
    meter.count_audio(60 + debt_s)
    assert told_by(meter)["x-ratelimit-reset-audio-seconds"] == shown

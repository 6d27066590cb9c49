"""What a process that was taken over may say, and what the service makes of it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.processes.wire import HEAD_BYTES, Answer, Open, Pull, Ready, Refusal, WireError, length_of, packed, unpacked
from app.domain.ports import DecodeLimits

MESSAGES = [
    Answer(n_samples=5, truncated=True, refusal=Refusal("AudioRejectedError", "nothing")),
    Ready(),
    Open(job=1, limits=DecodeLimits(max_duration_s=2.5), skip_samples=7),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_sent(message: Answer | Ready | Open) -> None:
    data = packed(message)
    assert length_of(data[:HEAD_BYTES]) == len(data) - HEAD_BYTES
    assert unpacked(data[HEAD_BYTES:], type(message)) == message


def test_a_message_that_claims_to_be_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError):
        length_of(b"\xff\xff\xff\x7f")


@given(st.binary(max_size=200))
def test_whatever_is_said_is_an_answer_or_refused(body: bytes) -> None:
    with suppress(WireError):
        assert isinstance(unpacked(body, Answer), Answer)


def test_one_kind_of_message_is_not_taken_for_another() -> None:
    with pytest.raises(WireError):
        unpacked(packed(Pull(job=3))[HEAD_BYTES:], Open)

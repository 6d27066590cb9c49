"""The hostile corpus itself: every case can be built, each has a name of its own, and what comes back is judged."""

import json
from collections import Counter
from typing import Final

import pytest

from bench.hostile.case import NO_AUDIO, OK, SENTENCE, Case, Closed, Exchange, Session, Told
from bench.hostile.corpus import FAMILIES, corpus
from bench.hostile.exchange import Answer, Got
from bench.hostile.judging import fault_of

_LEAST_CASES: Final = 300
_CALM: Final = "the cat sat on the mat"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return corpus()


def test_there_are_enough_cases_in_every_family_and_no_name_is_there_twice(cases: list[Case]) -> None:
    named = Counter((case.family, case.name) for case in cases)
    assert len(named) >= _LEAST_CASES
    assert [name for name, n in named.items() if n > 1] == []
    assert {family for family, _ in named} == set(FAMILIES)
    assert min(Counter(family for family, _ in named).values()) >= 20


def test_every_case_can_be_built_and_has_an_answer(cases: list[Case]) -> None:
    for case in cases:
        assert case.expected, case.name
        if not case.family.startswith("bombs"):
            sent = case.build()
            kinds = Told if isinstance(sent, Exchange) else Closed
            assert any(isinstance(one, kinds) for one in case.expected), case.name


def test_cases_are_the_same_each_time(cases: list[Case]) -> None:
    for case in cases[:: len(cases) // 40]:
        if not case.family.startswith("bombs"):
            assert case.build() == case.build(), case.name


def answered(status: int, **told: object) -> Got:
    body = json.dumps(told).encode() if told else b""
    return Got(answers=(Answer(status=status, headers={"x-request-id": "r"}, body=body),))


def refused(param: str | None, message: str = "no") -> Got:
    return answered(400, error={"message": message, "type": "invalid_request_error", "param": param, "code": "invalid_value"})


def closed(code: int | None, *errors: str) -> Got:
    messages = tuple({"error": {"message": "no", "code": one, "param": None}} for one in errors)
    return Got(close=code, messages=messages)


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        (OK, answered(200, text=""), answered(500, text="")),
        (NO_AUDIO, refused("file"), refused("model")),
        (NO_AUDIO, refused("file"), refused("file", "x" * 5_000)),
        (NO_AUDIO, refused("file"), answered(400)),
        (NO_AUDIO, refused("file"), Got()),
        (SENTENCE, answered(200, text="The cat sat on a mat."), answered(200, text="")),
        (Told(status=200, hears="nothing"), answered(200, text=""), answered(200, text="mhm")),
        (Told(status=400), answered(400), refused("file")),
        (Told(status=0), Got(), answered(200)),
        (OK, answered(200), Got(answers=answered(200).answers * 2)),
        (OK, answered(200), answered(200, text="root:x:0:0")),
        (Closed(code=1000), closed(1000), closed(1011)),
        (Closed(code=1008, errors=(("invalid_value", None),)), closed(1008, "invalid_value"), closed(1008)),
    ],
)
def test_what_comes_back_is_judged(expected: Told | Closed, right: Got, wrong: Got) -> None:
    case = Case(name="any", build=lambda: Session(path="/ws", pieces=()), expected=(expected,))
    assert fault_of(case, right, _CALM) == ""
    assert fault_of(case, wrong, _CALM) != ""

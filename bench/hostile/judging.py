"""Whether what came back is what had to."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from tests.recordings import word_error_rate

from .case import Case, Closed, Expected, Hears, Told
from .exchange import Answer, Got

_LONGEST_ERROR: Final = 2_000  # bytes: what is refused may be of any length, and little of it is told back
_MOST_OTHER_WORDS: Final = 0.34  # of the sentence, where it came in another form than in calm; chosen
_SHOWN: Final = 120  # characters of a message
_OF_SECRETS: Final = (b"root:x:", b"daemon:")  # what stands in the file that playlists ask for


def fault_of(case: Case, got: Got, calm: str) -> str:
    """Say what is wrong with an answer, nothing if it is one of those that are right.

    Args:
        calm: What the service made of the sentence when nothing troubled it.
    """
    if any(secret in answer.body for answer in got.answers for secret in _OF_SECRETS):
        return "a file of the machine was told"
    faults = [_unlike(expected, got, calm) for expected in case.expected]
    if "" in faults:
        return ""
    told = " or ".join(_shown(expected) for expected in case.expected)
    return f"must be {told}; but {faults[0]}: {summary(got)}"


def _unlike(expected: Expected, got: Got, calm: str) -> str:
    return _unlike_answer(expected, got, calm) if isinstance(expected, Told) else _unlike_end(expected, got, calm)


def _unlike_answer(told: Told, got: Got, calm: str) -> str:
    if told.status == 0:
        return "there is an answer" if got.answers else ""
    if len(got.answers) != told.n_answers or any(answer.status != told.status for answer in got.answers):
        return f"the answers have {[answer.status for answer in got.answers]}"
    if got.rest and told.status != 101:
        return "there is more behind the answer"
    answer = got.answers[0]
    if told.status >= 400:
        return _unlike_error(told, answer)
    return "" if told.hears == "anything" else _unlike_text(told.hears, str(json.loads(answer.body)["text"]), calm)


def _unlike_error(told: Told, answer: Answer) -> str:
    if told.code is None:
        return "" if answer.body == told.body else "the body is another"
    try:
        error: Mapping[str, Any] = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError):
        return "no error is told"
    if error.keys() != {"message", "type", "param", "code"} or not error["message"] or "x-request-id" not in answer.headers:
        return "the error is not complete"
    if len(answer.body) > _LONGEST_ERROR:
        return f"the error has {len(answer.body)} bytes"
    return "" if (error["code"], error["param"]) == (told.code, told.param) else "the error is another"


def _unlike_end(closed: Closed, got: Got, calm: str) -> str:
    if got.answers:
        return "the handshake was refused"
    if got.close != closed.code:
        return "the close is another"
    errors = [message["error"] for message in got.messages if "error" in message]
    if [(error["code"], error["param"]) for error in errors] != list(closed.errors):
        return "the errors are others"
    if any(len(json.dumps(error)) > _LONGEST_ERROR for error in errors):
        return "an error is too long"
    said = " ".join(str(message["text"]) for message in got.messages if message.get("final") and message["text"])
    return "" if closed.hears == "anything" else _unlike_text(closed.hears, said, calm)


def _unlike_text(hears: Hears, text: str, calm: str) -> str:
    if hears == "nothing":
        return "something was heard" if text else ""
    return "" if word_error_rate(calm, text) <= _MOST_OTHER_WORDS else "the sentence was not heard"


def _error_of(answer: Answer) -> str:
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(answer.body)["error"]
        return f"{error['code']} ({error['param']}): {str(error['message'])[:_SHOWN]}"
    return ""


def _shown(expected: Expected) -> str:
    if isinstance(expected, Closed):
        errors = ", ".join(f"{code} ({param})" for code, param in expected.errors[:3])
        return f"closed with {expected.code}" + (f" after {errors}" if errors else "")
    if not expected.status:
        return "closed unanswered"
    parts = [str(expected.status), expected.code or "", f"({expected.param})" if expected.param else ""]
    return " ".join([*(part for part in parts if part), *([f"hearing {expected.hears}"] if expected.hears != "anything" else [])])


def summary(got: Got) -> str:
    """Say in a line what came back."""
    answers: Sequence[str] = [
        f"{one.status} {_error_of(one) or one.body[:200].decode(errors='replace')}" for one in got.answers[:3]
    ]
    if answers or got.rest:
        return "; ".join(answers) + (f"; rest {got.rest[:60]!r}" if got.rest else "")
    return f"closed with {got.close}, after {json.dumps(got.messages[:4])[:400]}"

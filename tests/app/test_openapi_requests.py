"""Requests made from the API's document, by it and against it, with keys on: every answer is as documented."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import httpx
import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import checks

from app.domain.audio import MODEL_RATE_HZ
from app.testing.contracts_audio import wav_bytes
from tests.profiles import examples

from .openapi import OPERATIONS, TRANSLATIONS, Document, check_events, described
from .service import TRANSCRIPTIONS, Client, check_envelope, wav

KEY: Final = "sk-right"
BEARER: Final = {"authorization": f"Bearer {KEY}"}
NO_KEY: Final = (None, "Bearer sk-wrong", f"Basic {KEY}", f"Bearer {KEY} {KEY}", f"Bearer {KEY[:-1]}", KEY, "Bearer ")
OPEN: Final = ("/healthz", "/readyz")
Case = schemathesis.Case[Any]
Record = Callable[[str, object], None]
SILENCE: Final = wav_bytes(np.zeros(MODEL_RATE_HZ, np.float32), rate_hz=MODEL_RATE_HZ)
USUAL: Final[dict[str, st.SearchStrategy[Any]]] = {  # what no schema tells, and without which every answer is a refusal
    "file": st.sampled_from([wav(1.0), wav(12.0), SILENCE]),
    "model": st.sampled_from(["whisper-1", "fake"]),
    "language": st.sampled_from(["en", "English", ""]),
    "languages[]": st.just(["de", "en"]),
}
POOR: Final = st.sampled_from([wav(0.05), wav(40.0), b""])  # too short, too large, nothing
CHECKS: Final = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with described(KEY) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: Client) -> Document:
    found: Document = client.get("/docs/openapi.json", headers=BEARER).json()
    return found


@pytest.fixture(scope="module")
def schema(document: Document) -> Any:
    return schemathesis.openapi.from_dict(document)


@cache
def strategy_of(operation: Any, mode: schemathesis.GenerationMode) -> Any:
    return operation.as_strategy(generation_mode=mode)


@st.composite
def any_case(draw: st.DrawFn, operation: Any) -> Case:
    """A request by the document, or deliberately against it."""
    takes_something = bool(operation.body) or bool(operation.path_parameters)
    modes = list(schemathesis.GenerationMode) if takes_something else [schemathesis.GenerationMode.POSITIVE]
    case: Case = draw(strategy_of(operation, draw(st.sampled_from(modes))))
    usual, poor = draw(st.sampled_from([(True, False), (True, False), (True, True), (False, False)]))
    body: Any = case.body
    if usual and isinstance(body, dict):
        body.update({name: draw(USUAL[name]) for name in USUAL if name in body})
        if poor and "file" in body:
            body["file"] = draw(POOR)
    if usual and case.path_parameters:
        case.path_parameters["name"] = draw(st.sampled_from(["whisper-1", "fake", "nvidia/parakeet"]))
    return case


@st.composite
def good_case(draw: st.DrawFn, operation: Any) -> Case:
    """A request by the document alone, with audio and names that are there, and without the combinations that are refused."""
    case: Case = draw(strategy_of(operation, schemathesis.GenerationMode.POSITIVE))
    assert isinstance(case.body, dict)
    case.body.update({name: draw(USUAL[name]) for name in USUAL if name in case.body})
    if case.body.get("response_format", "json") != "json":
        for name in ("stream", "include[]"):
            case.body.pop(name, None)
    return case


def asked(client: Client, case: Case, authorization: str | None) -> httpx.Response:
    """Send the request, with this header and no other key."""
    request = requests.Request(**case.as_transport_kwargs(base_url=str(client.base_url))).prepare()
    headers: Any = [(name, value) for name, value in request.headers.items() if name.lower() != "authorization"]
    headers += [] if authorization is None else [("authorization", authorization)]
    body: Any = request.body
    return client.request(str(request.method), str(request.url), headers=headers, content=body)


def checked(client: Client, document: Document, case: Case) -> httpx.Response:
    answer = asked(client, case, BEARER["authorization"])
    if answer.headers["content-type"].startswith("text/event-stream"):
        # Many bodies, which schemathesis cannot know: for OpenAPI 3.1 an answer has one.
        case.validate_response(answer, checks=CHECKS[:-1])
        check_events(document, answer)
    else:
        case.validate_response(answer, checks=CHECKS)
    return answer


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_documented(
    client: Client, document: Document, schema: Any, *, method: str, path: str, record_property: Record
) -> None:
    statuses: list[int] = []

    @settings(max_examples=examples(40))
    @given(case=any_case(schema[path][method]))
    def ask(case: Case) -> None:
        statuses.append(checked(client, document, case).status_code)

    ask()
    record_property("examples", len(statuses))
    assert {200} | ({400} if method == "POST" else set()) <= set(statuses)


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS, "/transcribe"])
def test_what_the_document_allows_is_accepted(
    client: Client, document: Document, schema: Any, path: str, record_property: Record
) -> None:
    answers: list[httpx.Response] = []

    @settings(max_examples=examples(40))
    @given(case=good_case(schema[path]["POST"]))
    def ask(case: Case) -> None:
        answers.append(checked(client, document, case))
        assert answers[-1].status_code == 200, answers[-1].text

    ask()
    record_property("examples", len(answers))


@pytest.mark.parametrize(("method", "path"), [operation for operation in OPERATIONS if operation[1] not in OPEN])
def test_without_the_right_key_nothing_is_looked_at(
    client: Client, schema: Any, method: str, path: str, record_property: Record
) -> None:
    answers: list[httpx.Response] = []

    @settings(max_examples=examples(6))
    @given(case=any_case(schema[path][method]), authorization=st.sampled_from(NO_KEY))
    def ask(case: Case, authorization: str | None) -> None:
        answers.append(asked(client, case, authorization))
        case.validate_response(answers[-1], checks=CHECKS)
        check_envelope(answers[-1], 401, code="invalid_api_key")

    ask()
    record_property("examples", len(answers))


@pytest.mark.parametrize("path", ["/v1/models", TRANSCRIPTIONS])
def test_a_secret_for_sessions_is_no_key(client: Client, path: str) -> None:
    secret = client.post("/v1/realtime/client_secrets", headers=BEARER).json()["value"]
    answer = client.request("GET" if path.endswith("models") else "POST", path, headers={"authorization": f"Bearer {secret}"})
    check_envelope(answer, 401, code="invalid_api_key")

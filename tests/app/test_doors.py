"""The doors of the service: who comes in, what other origins may read, and the shape of every refusal."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpx
import msgspec
import openai
import pytest
import structlog
from litestar import Litestar, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.testing import TestClient
from structlog.testing import capture_logs

from app.container import Container
from app.domain.errors import OverloadedError, RecognitionError
from app.entrypoints.app import create_app
from app.entrypoints.errors import RATE_LIMITED
from app.entrypoints.keys import Keys, bearer_key
from app.entrypoints.rates import RATE_HEADERS
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .service import PATIENCE_S, TRANSCRIPTIONS, Bare, Client, ask_bare, check_envelope, make_container

KEY: Final = "sk-first/+=~"
SECOND_KEY: Final = "sk-second"
LOCKED: Final = Settings(api_keys=(KEY, SECOND_KEY))
PAGE: Final = "https://app.example"
SHARED: Final = Settings(cors_origins=(PAGE, "http://localhost:3000"))
LOCKED_AND_SHARED: Final = msgspec.structs.replace(SHARED, api_keys=(KEY,))
OPEN: Final = Settings()
Serve = Callable[[Settings], Client]


class Count(msgspec.Struct):
    n: int


@get("/test/raised/{status:int}")
async def raised(status: FromPath[int]) -> None:
    """What a part of the framework would raise."""
    raise HTTPException(status_code=status, detail="told by the framework")


@get("/test/limited")
async def limited() -> None:
    raise HTTPException(status_code=429, detail="slow down", headers={"Retry-After": "7", "Set-Cookie": "a=b"})


@get("/test/asked")
async def asked(n: FromQuery[int]) -> int:
    return n


@post("/test/sent", status_code=200)
async def sent(data: JSONBody[Count]) -> int:
    return data.n


@get("/test/crashed")
async def crashed() -> None:
    raise OSError("the secret cause in /srv/private")


@get("/test/unrecognised")
async def unrecognised() -> None:
    raise RecognitionError("the model failed on this clip")


@get("/test/full")
async def full() -> None:
    raise OverloadedError("the service is full", retry_after_s=3)


@get("/test/varied", response_headers={"vary": "Accept"})
async def varied() -> None: ...


def make_app(settings: Settings) -> tuple[Litestar, Container]:
    """Make the application, with routes beside its own that fail in every way."""
    container = make_container(settings, FakeRecognizer)
    app = create_app(container)
    for handler in (raised, limited, asked, sent, crashed, unrecognised, full, varied):
        app.register(handler)
    return app, container


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Gives the running application for some settings, the same one to every test: nothing here changes it."""
    running: dict[Settings, Client] = {}
    with ExitStack() as stack:

        def client_for(settings: Settings) -> Client:
            if settings not in running:
                app, container = make_app(settings)
                running[settings] = stack.enter_context(TestClient(app))
                container.engine().loaded.result(PATIENCE_S)
            return running[settings]

        yield client_for


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nobody reads these logs, and by default structlog takes its time to draw a failure."""
    with capture_logs():
        yield


def bearer(key: str | bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + (key.encode() if isinstance(key, str) else key)}


def ask_locked(method: str, path: str, headers: dict[bytes, bytes], *, body: bytes = b"") -> Bare:
    """Ask the locked application as a server does."""
    return ask_bare(make_app(LOCKED)[0], method, path, headers, body=body)


# Keys


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"), ("GET", "/v1/models/whisper-1"), ("POST", TRANSCRIPTIONS), ("POST", "/audio/transcriptions"),
        ("POST", "/transcribe"), ("GET", "/debug/cfg"), ("GET", "/docs"), ("GET", "/docs/openapi.json"), ("GET", "/nothing/here"),
        ("DELETE", "/v1/models"), ("OPTIONS", "/v1/models"), ("GET", "/healthz/../v1/models"), ("GET", "/healthzz"),
        ("GET", "/v1/models/healthz"), ("GET", "/v1//models//"), ("GET", "/HEALTHZ"),
    ],
)  # fmt: skip
def test_where_keys_exist_nothing_is_answered_without_one(serve: Serve, method: str, path: str) -> None:
    client = serve(LOCKED)
    answer = client.request(method, path)
    check_envelope(answer, 401, code="invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert client.request(method, path, headers=bearer(SECOND_KEY)).status_code != 401


def test_every_route_of_the_service_asks_for_a_key(serve: Serve) -> None:
    client = serve(LOCKED)
    paths = {route.path for route in client.app.routes} - {"/", "/healthz", "/readyz"}  # the page holds nothing
    assert {"/v1/models", TRANSCRIPTIONS, "/docs"} <= paths
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 401)


@pytest.mark.parametrize("path", ["/healthz", "/healthz/", "/readyz"])
def test_whoever_watches_the_service_needs_no_key(serve: Serve, path: str) -> None:
    client = serve(LOCKED)
    for headers in (None, bearer("wrong")):
        assert client.get(path, headers=headers).status_code == 200
        assert client.post(path, headers=headers).status_code == 405


@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER  "])
def test_each_key_opens(serve: Serve, scheme: str, key: str) -> None:
    assert serve(LOCKED).get("/nothing", headers={"authorization": f"{scheme} {key}"}).status_code == 404


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"Bearer", b"Bearer ", b"Bearer wrong", b"Bearer " + KEY[:-1].encode(), b"Bearer " + KEY.encode() + b"x",
        b"Bearer " + KEY.upper().encode(), b"Basic " + KEY.encode(), KEY.encode(), b"Bearer" + KEY.encode(),
        b"Bearer\t" + KEY.encode(), b"Bearer " + KEY.encode() + b", Bearer x", f"Bearer {KEY},{SECOND_KEY}".encode(),
        f"Bearer {KEY} {KEY}".encode(), b"Bearer \xff\xfe",
        "Bearer schlüssel".encode(), "Bearer schlüssel".encode("latin-1"), b"\xff", b"Bearer " + b"x" * 60_000,
    ],
)  # fmt: skip
def test_a_wrong_or_garbled_key_is_401_and_not_repeated(serve: Serve, value: bytes) -> None:
    client = serve(LOCKED)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = client.get("/v1/models", headers={b"authorization": value})
    check_envelope(answer, 401, code="invalid_api_key")
    (finished,) = [event for event in logs if event["event"] == "request_finished"]
    assert (finished["status"], finished["error"]) == (401, "invalid_api_key")
    for told in (answer.text, str(dict(answer.headers)), str(logs)):
        assert not [key for key in (KEY, SECOND_KEY, "wrong", "schl", "xxxx") if key in told]


@pytest.mark.parametrize("headers", [{}, bearer("any"), bearer(b"\xff"), {b"authorization": b"Basic \xff"}])
def test_without_keys_any_or_none_will_do(serve: Serve, headers: dict[bytes, bytes]) -> None:
    assert serve(OPEN).get("/nothing", headers=headers).status_code == 404


def test_a_key_opens_in_constant_time_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return first == second

    monkeypatch.setattr("hmac.compare_digest", compare)
    keys = Keys(["a", "bb", "ccc"])
    assert keys.name_of(b"a") == "env-1"
    assert len(compared) == 3
    assert {len(digest) for pair in compared for digest in pair} == {32}  # whatever the keys' lengths


def test_a_bearer_key_is_found_among_the_headers() -> None:
    assert bearer_key([(b"accept", b"*/*"), (b"authorization", b"Bearer k ")]) == b"k"
    assert bearer_key([(b"x-authorization", b"Bearer k")]) is None
    assert bearer_key([(b"authorization", b"Bearer k"), (b"authorization", b"Bearer k")]) is None  # which one is meant?


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/transcribe", "/test/sent", "/nothing"])
def test_the_body_of_a_refused_caller_is_not_read_before_the_answer(path: str) -> None:
    headers = {b"content-type": b"multipart/form-data; boundary=x", b"content-length": b"500000000"}
    refused = ask_locked("POST", path, headers)
    assert (refused.status, refused.was_read) == (401, False)
    assert msgspec.json.decode(refused.body)["error"]["code"] == "invalid_api_key"


def test_the_body_of_an_admitted_caller_is_read() -> None:
    admitted = ask_locked("POST", "/test/sent", {b"content-type": b"application/json", **bearer(KEY)}, body=b'{"n": 1}')
    assert (admitted.status, admitted.was_read) == (200, True)


# Other origins


PREFLIGHT: Final = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,openai-organization,openai-project,x-request-id,x-stainless-arch,"
    "x-stainless-retry-count,x-stainless-runtime-version",
}


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/models", "/healthz", "/nothing"])
@pytest.mark.parametrize("settings", [SHARED, LOCKED_AND_SHARED], ids=["open", "locked"])
def test_a_preflight_is_answered_without_a_key(serve: Serve, path: str, settings: Settings) -> None:
    answer = serve(settings).options(path, headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = answer.headers["access-control-allow-headers"].split(",")
    assert set(allowed) == set(PREFLIGHT["access-control-request-headers"].split(","))
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("wanted", [None, "", "a:b", "a,,b", "a b"])
def test_a_preflight_that_names_no_usable_header_is_told_the_usual_ones(serve: Serve, wanted: str | None) -> None:
    headers = {"origin": PAGE, "access-control-request-method": "GET"}
    if wanted is not None:
        headers["access-control-request-headers"] = wanted
    answer = serve(SHARED).options("/v1/models", headers=headers)
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize("settings", [OPEN, LOCKED, SHARED], ids=["open", "locked", "shared"])
def test_a_foreign_preflight_is_granted_nothing(serve: Serve, settings: Settings) -> None:
    answer = serve(settings).options(TRANSCRIPTIONS, headers={**PREFLIGHT, "origin": "https://evil.example"})
    assert answer.status_code == 204
    assert cors_headers(answer) == {}


def test_options_that_are_no_preflight_need_a_key(serve: Serve) -> None:
    client = serve(LOCKED_AND_SHARED)
    answer = client.options(TRANSCRIPTIONS, headers={"origin": PAGE})
    check_envelope(answer, 401, code="invalid_api_key")
    assert answer.headers["access-control-allow-origin"] == PAGE
    known = client.options(TRANSCRIPTIONS, headers=bearer(KEY))
    assert (known.status_code, set(known.headers["allow"].split(", "))) == (204, {"POST", "OPTIONS"})


ANSWERS: Final[dict[int, Callable[[Client, dict[str, str]], httpx.Response]]] = {
    200: lambda client, headers: client.get("/test/asked?n=1", headers=headers),
    400: lambda client, headers: client.post(TRANSCRIPTIONS, json={}, headers=headers),
    401: lambda client, headers: client.get("/v1/models", headers={**headers, "authorization": "Bearer wrong"}),
    404: lambda client, headers: client.get("/nothing/here", headers=headers),
    405: lambda client, headers: client.get(TRANSCRIPTIONS, headers=headers),
    429: lambda client, headers: client.get("/test/limited", headers=headers),
    500: lambda client, headers: client.get("/test/crashed", headers=headers),
    503: lambda client, headers: client.get("/test/full", headers=headers),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_a_page_may_read_every_answer_and_a_foreign_one_none(serve: Serve, status: int) -> None:
    def answer_for(client: Client, origin: str | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}"} | ({} if origin is None else {"origin": origin})
        answer = ANSWERS[status](client, headers)
        assert answer.status_code == status
        return answer

    client = serve(LOCKED_AND_SHARED)
    for origin in (PAGE, "http://localhost:3000"):
        answer = answer_for(client, origin)
        assert answer.headers["access-control-allow-origin"] == origin
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"x-request-id", "retry-after", "x-should-retry", *RATE_HEADERS}
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"
    for foreign in ("https://evil.example", PAGE + ".evil.example", "http://app.example", PAGE + ":8443", "null", "*", None):
        answer = answer_for(client, foreign)
        assert cors_headers(answer) == {}
        assert answer.headers["vary"] == "Origin"  # or a cache would hand it to the page
    client = serve(Settings(cors_origins=("*",), api_keys=(KEY,)))
    for anyone in (PAGE, "null", None):
        answer = answer_for(client, anyone)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "vary" not in answer.headers
    client = serve(LOCKED)
    answer = answer_for(client, PAGE)
    assert cors_headers(answer) == {}
    assert "vary" not in answer.headers


def test_an_origin_is_compared_as_browsers_write_it(serve: Serve) -> None:
    client = serve(Settings(cors_origins=("HTTPS://App.Example",)))
    assert client.get("/healthz", headers={"origin": PAGE}).headers["access-control-allow-origin"] == PAGE


def test_what_else_an_answer_varies_by_is_kept(serve: Serve) -> None:
    answer = serve(SHARED).get("/test/varied")
    assert answer.headers.get_list("vary", split_commas=True) == ["Accept", "Origin"]


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "kind", "param"),
    [
        (400, "invalid_value", "invalid_request_error", None),
        (401, "invalid_api_key", "invalid_request_error", None),
        (405, "method_not_allowed", "invalid_request_error", None),
        (406, "not_acceptable", "invalid_request_error", None),
        (413, "file_too_large", "invalid_request_error", "file"),
        (415, "unsupported_media_type", "invalid_request_error", None),
        (429, "rate_limit_exceeded", "rate_limit_error", None),
        (503, "overloaded", "server_error", None),
    ],
)
def test_what_the_framework_refuses_is_told_in_the_envelope(
    serve: Serve, status: int, code: str, kind: str, param: str | None
) -> None:
    client = serve(OPEN)
    answer = client.get(f"/test/raised/{status}")
    assert check_envelope(answer, status, code=code, kind=kind, param=param) == "told by the framework"
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
        assert "x-should-retry" not in answer.headers  # the clients try such again by themselves
    else:
        assert "retry-after" not in answer.headers
        assert answer.headers["x-should-retry"] == "false"
    assert ("www-authenticate" in answer.headers) is (status == 401)


def test_a_validation_of_the_framework_is_400_and_never_422(serve: Serve) -> None:
    check_envelope(serve(OPEN).get("/test/raised/422"), 400, code="invalid_value")


@pytest.mark.parametrize("path", ["/test/crashed", "/test/raised/500", "/test/raised/502", "/test/unrecognised"])
def test_our_fault_is_500_and_not_worth_another_try(serve: Serve, path: str) -> None:
    client = serve(OPEN)
    answer = client.get(path)
    told = check_envelope(answer, 500, code="internal_error", kind="server_error")
    assert not [word for word in ("secret", "private", "told by the framework") if word in told]
    assert answer.headers["x-should-retry"] == "false"


def test_the_official_client_understands_a_refusal_and_asks_once(serve: Serve) -> None:
    client = serve(LOCKED)

    def official(key: str) -> openai.OpenAI:
        taken: Any = client  # openai is typed for httpx2, and takes an httpx client as well
        return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=key, http_client=taken)

    with capture_logs() as logs:
        with pytest.raises(openai.AuthenticationError) as refused:
            official("wrong").models.list()
        with pytest.raises(openai.InternalServerError) as failed:
            official(KEY).get("/../test/crashed", cast_to=object)
        assert [model.id for model in official(SECOND_KEY).models.list()]
    assert (refused.value.type, refused.value.code, refused.value.param) == ("invalid_request_error", "invalid_api_key", None)
    assert (failed.value.type, failed.value.code) == ("server_error", "internal_error")
    for error in (refused.value, failed.value):
        assert error.request_id
    assert [event["status"] for event in logs if event["event"] == "request_finished"] == [401, 500, 200]


def test_a_full_service_says_when_to_ask_again(serve: Serve) -> None:
    client = serve(OPEN)
    answer = client.get("/test/full")
    check_envelope(answer, 503, code="overloaded", kind="server_error")
    assert answer.headers["retry-after"] == "3"
    assert "x-should-retry" not in answer.headers


def test_a_limit_says_when_to_ask_again_and_passes_no_other_header(serve: Serve) -> None:
    assert (RATE_LIMITED.status, RATE_LIMITED.type, RATE_LIMITED.code) == (429, "rate_limit_error", "rate_limit_exceeded")
    client = serve(OPEN)
    answer = client.get("/test/limited")
    check_envelope(answer, 429, code="rate_limit_exceeded", kind="rate_limit_error")
    assert answer.headers["retry-after"] == "7"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/nothing/here", "/docs/nothing", "/docs/nothing.json", "/test/raised/no-number", "/v1", "/%zz%"])
def test_an_unknown_path_is_404(serve: Serve, path: str) -> None:
    assert "GET /" in check_envelope(serve(OPEN).get(path), 404, code="not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", TRANSCRIPTIONS, {"POST", "OPTIONS"}), ("HEAD", TRANSCRIPTIONS, {"POST", "OPTIONS"}),
        ("DELETE", "/v1/models", {"GET", "HEAD", "OPTIONS"}), ("BREW", "/v1/models/a/b", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)  # fmt: skip
def test_a_wrong_method_is_405_and_the_right_ones_are_told(serve: Serve, method: str, path: str, allowed: set[str]) -> None:
    client = serve(OPEN)
    answer = client.request(method, path)
    options = client.options(path)
    assert answer.status_code == 405
    for told in (answer, options):
        assert set(told.headers["allow"].split(", ")) == allowed
    if method == "HEAD":
        assert answer.content == b""
    else:
        check_envelope(answer, 405, code="method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/healthz", "/v1/models", "/docs/openapi.json", "/test/crashed", "/test/full", "/nothing", "/test/asked"]
)
def test_head_is_get_without_the_body(serve: Serve, path: str) -> None:
    def compared(answer: httpx.Response) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}

    client = serve(OPEN)
    with capture_logs() as logs:
        head, full_answer = client.head(path), client.get(path)
    assert head.content == b""
    assert full_answer.content
    assert head.status_code == full_answer.status_code
    assert compared(head) == compared(full_answer)
    assert [event["method"] for event in logs if event["event"] == "request_finished"] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {}, 200), ("/v1/models", {}, 401), ("/nothing", bearer(KEY), 404), (TRANSCRIPTIONS, bearer(KEY), 405),
        ("/test/crashed", bearer(KEY), 500), ("/test/full", bearer(KEY), 503),
    ],
)  # fmt: skip
def test_no_answer_to_head_has_a_body(path: str, headers: dict[bytes, bytes], status: int) -> None:
    answer = ask_locked("HEAD", path, headers)
    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers[b"x-request-id"]
    assert int(answer.headers[b"content-length"]) > 0  # as GET would tell


@pytest.mark.parametrize(
    ("ask", "param"),
    [
        (lambda client: client.get("/test/asked?n=many"), "n"),
        (lambda client: client.get("/test/asked"), None),
        (lambda client: client.post("/test/sent", json={"n": "many"}), "n"),
        (lambda client: client.post("/test/sent", content=b"{"), None),
        (lambda client: client.post("/test/sent", content=b"\xff"), None),
    ],
)
def test_what_fits_no_signature_is_400_and_names_the_field(
    serve: Serve, ask: Callable[[Client], httpx.Response], param: str | None
) -> None:
    check_envelope(ask(serve(OPEN)), 400, code="invalid_value", param=param)


@pytest.mark.parametrize("path", ["/healthz/", "/healthz//", "/docs/", "/v1//models/", "/test/asked/?n=1"])
def test_a_slash_too_many_is_no_redirect(serve: Serve, path: str) -> None:
    client = serve(OPEN)
    assert client.get(path, follow_redirects=False).status_code == 200


def test_a_host_that_is_none_is_400(serve: Serve) -> None:
    check_envelope(serve(OPEN).get("/healthz", headers={"host": "a b"}), 400, code="invalid_value")


def test_an_id_of_other_letters_is_replaced() -> None:
    assert ask_locked("GET", "/healthz", {b"x-request-id": b"caf\xe9"}).headers[b"x-request-id"].startswith(b"req_")
    assert ask_locked("GET", "/healthz", {b"x-request-id": b"cafe"}).headers[b"x-request-id"] == b"cafe"

"""How the page and its files are served. What it does is tried in a browser: tests/e2e/test_page.py."""

import re
from importlib.resources import files
from typing import Final

import pytest

from app.settings import Settings

from .service import check_envelope, serving

STATIC: Final = files("app") / "entrypoints" / "http" / "static"
ASSETS: Final = sorted(f"/page/{file.name}" for file in STATIC.iterdir() if file.name != "index.html")
KEYS: Final = ("a-key",)


@pytest.mark.parametrize("settings", [Settings(), Settings(api_keys=KEYS)], ids=["no keys", "keys"])
def test_the_page_and_its_files_need_no_key(settings: Settings) -> None:
    with serving(settings) as (client, _):
        page = client.get("/")
        answers = {path: client.get(path) for path in ASSETS}
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path, answer in answers.items():
        assert answer.status_code == 200, path
        kind = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
        assert answer.headers["content-type"] == kind[path.rpartition(".")[2]]


def test_keys_guard_all_but_the_page() -> None:
    with serving(Settings(api_keys=KEYS)) as (client, _):
        for path in ("/page/nothing.js", "/page/", "/page/../v1/models", "/v1/models", "/docs"):
            check_envelope(client.get(path), 401, code="invalid_api_key")


def test_the_page_may_load_from_its_own_host_alone() -> None:
    with serving() as (client, _):
        for path in ("/", *ASSETS):
            headers = client.get(path).headers
            policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
            assert policy.pop("default-src") == "'none'"
            assert set(policy.values()) == {"'self'", "'none'", "blob:"}
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["frame-ancestors"] == "'none'"


def test_the_page_holds_no_code_and_no_style_and_names_its_files_relatively() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert all(body == "" for body in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
    assert all(re.match(r"(page/|#|docs$)", target) for target in re.findall(r'(?:src|href)="([^"]+)"', html))


def test_a_file_that_is_known_is_not_sent_again() -> None:
    with serving() as (client, _):
        for path in ("/", *ASSETS):
            first = client.get(path)
            assert first.headers["cache-control"] == "no-cache"
            again = client.get(path, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert client.get(path, headers={"if-none-match": '"other"'}).content == first.content
        assert len({client.get(path).headers["etag"] for path in ("/", *ASSETS)}) == len(ASSETS) + 1


def test_head_tells_the_length_and_sends_nothing() -> None:
    with serving() as (client, _):
        for path in ("/", *ASSETS):
            whole, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))
            assert head.headers["etag"] == whole.headers["etag"]


def test_the_page_can_be_closed() -> None:
    with serving(Settings(page=False)) as (client, _):
        for path in ("/", *ASSETS):
            check_envelope(client.get(path), 404, code="not_found")
    with serving(Settings(page=False, api_keys=KEYS)) as (client, _):
        for path in ("/", *ASSETS):
            check_envelope(client.get(path), 401, code="invalid_api_key")


@pytest.mark.parametrize("path", ["/page/index.html", "/page/nothing.js", "/page/..%2Findex.html", "/page/a/b.js"])
def test_what_is_no_file_of_the_page_is_404(path: str) -> None:
    with serving() as (client, _):
        check_envelope(client.get(path), 404, code="not_found")


def test_the_page_is_small() -> None:
    assert sum(len(file.read_bytes()) for file in STATIC.iterdir()) < 64_000

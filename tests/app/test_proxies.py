"""Behind proxies: whose word on the sender of a request is taken, and what follows from it."""

import asyncio
from typing import Any, Final

import msgspec
import pytest
from litestar import Litestar, Request, get
from litestar.datastructures import State

from app.entrypoints.app import create_app
from app.entrypoints.proxies import ProxyDoor
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .service import ask_bare, make_container

OURS: Final = ("10.0.0.0/8",)


@get("/test/sender")
async def sender(request: Request[Any, Any, State]) -> dict[str, Any]:
    return {"client": request.client.host if request.client else None, "url": str(request.url)}


def make_app(settings: Settings) -> Litestar:
    app = create_app(make_container(settings, FakeRecognizer))
    app.register(sender)
    return app


def asked(settings: Settings, peer: str, proto: str | None = None) -> Any:
    """What a request that came through `peer` says of itself."""
    headers = {b"x-forwarded-for": b"203.0.113.1", b"host": b"service.example"} | (
        {b"x-forwarded-proto": proto.encode()} if proto else {}
    )
    return msgspec.json.decode(ask_bare(make_app(settings), "GET", "/test/sender", headers, peer=peer).body)


@pytest.mark.parametrize("proxies", [(), ("192.0.2.0/24",)])
def test_who_is_no_proxy_of_ours_is_not_believed(proxies: tuple[str, ...]) -> None:
    told = asked(Settings(trusted_proxies=proxies), "10.0.0.1", "https")
    assert told == {"client": "10.0.0.1", "url": "http://service.example/test/sender"}


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("http", "http"), ("gopher", "http"), (None, "http")],
)
def test_behind_a_proxy_a_request_has_its_sender_and_the_scheme_that_was_used(proto: str | None, scheme: str) -> None:
    told = asked(Settings(trusted_proxies=OURS), "10.0.0.1", proto)
    assert told == {"client": "203.0.113.1", "url": f"{scheme}://service.example/test/sender"}


@pytest.mark.parametrize(
    ("peer", "proto", "expected"),
    [
        ("10.0.0.1", b"https", "wss"),
        ("10.0.0.1", b"wss", "wss"),
        ("10.0.0.1", b"http", "ws"),
        ("10.0.0.1", b"", "ws"),
        ("203.0.113.9", b"https", "ws"),
    ],
)
def test_so_has_a_websocket(peer: str, proto: bytes, expected: str) -> None:
    passed: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append((scope["scheme"], scope["client"][0]))

    headers = [(b"x-forwarded-proto", proto), (b"x-forwarded-for", b"203.0.113.1")]
    scope: Any = {"type": "websocket", "scheme": "ws", "client": (peer, 1), "headers": headers, "path": "/ws"}
    nothing: Any = None
    asyncio.run(ProxyDoor(OURS)(app)(scope, nothing, nothing))  # type: ignore[arg-type]  # of a coroutine function
    assert passed == [(expected, "203.0.113.1" if peer.startswith("10.") else peer)]

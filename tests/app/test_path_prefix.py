"""The service below a path of a proxy's."""

from collections.abc import Iterator
from typing import Final

import pytest

from app.settings import Settings

from .live import talk
from .service import TEXT, TRANSCRIPTIONS, Client, send, serving

PREFIX: Final = "/speech/v2"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(Settings(path_prefix=PREFIX)) as (client, _):
        yield client


@pytest.mark.parametrize("prefix", [PREFIX, ""])
def test_every_path_is_answered_with_and_without_the_prefix(client: Client, prefix: str) -> None:
    assert send(client, path=prefix + TRANSCRIPTIONS).json()["text"] == TEXT
    assert client.get(f"{prefix}/healthz").json() == {"status": "ok"}
    assert client.get(f"{prefix}/v1/models/fake").json()["id"] == "fake"
    with client.websocket_connect(f"{prefix}/ws") as session:
        session.send_json({"type": "finish"})
        assert session.receive_json() == {"status": "finished"}
    assert talk(client, []).statuses == ["finished"]


def test_the_document_and_its_page_send_clients_below_the_prefix(client: Client) -> None:
    assert client.get(f"{PREFIX}/docs/openapi.json").json()["servers"] == [{"url": PREFIX}]
    page = client.get(f"{PREFIX}/docs")
    assert page.status_code == 200
    assert f"below <code>{PREFIX}</code>" in page.text


@pytest.mark.parametrize("path", ["/speech/v2x/healthz", "/speech/healthz", f"/x{PREFIX}/healthz", PREFIX + PREFIX + "/healthz"])
def test_what_only_resembles_the_prefix_is_404(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_key_is_asked_for_below_the_prefix_too_and_health_needs_none() -> None:
    with serving(Settings(path_prefix=PREFIX, api_keys=("sk",))) as (client, _):
        assert client.get(f"{PREFIX}/v1/models").status_code == 401
        assert client.get(f"{PREFIX}/healthz").status_code == 200

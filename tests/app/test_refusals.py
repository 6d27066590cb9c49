"""A refusal repeats what was wrong, and little of it: it may be of any length."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from .service import TRANSCRIPTIONS, Client, send, serving

LONG: Final = "x" * 60_000


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as (running, _):
        yield running


@pytest.mark.parametrize(
    "fields",
    [
        {"model": LONG},
        {"language": LONG},
        {"response_format": LONG},
        {"temperature": LONG},
        {"chunking_strategy": f'{{"type": "{LONG}"}}'},
        {"chunking_strategy": f'{{"type": "server_vad", "threshold": "{LONG}"}}'},
        {"chunking_strategy[type]": LONG},
        {"keywords[]": LONG},
        {"timestamp_granularities[]": LONG},
        {"include[]": LONG},
        {LONG[:3_000]: LONG + LONG},
    ],
    ids=lambda fields: next(iter(fields))[:30],
)
def test_a_wrong_field_of_any_length_is_answered_shortly(client: Client, fields: dict[str, Any]) -> None:
    answer = send(client, **fields)
    assert answer.is_client_error
    assert len(answer.content) < 1_500
    assert answer.json()["error"]["param"]


def test_a_wrong_path_or_secret_of_any_length_is_answered_shortly(client: Client) -> None:
    answers = [
        client.get(f"/v1/{LONG[:5_000]}"),
        client.get(f"/v1/models/{LONG[:5_000]}"),
        client.post(TRANSCRIPTIONS, headers={"content-type": LONG[:5_000]}),
        client.post("/v1/realtime/client_secrets", json={"session": {LONG: 1}}),
        client.post("/v1/realtime/client_secrets", json={"session": {"type": LONG}}),
        client.post("/v1/realtime/client_secrets", json={LONG: 1}),
        client.post("/v1/realtime/client_secrets", content=LONG.encode()),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 400, 400, 400, 400, 400]
    assert max(len(answer.content) for answer in answers) < 1_500

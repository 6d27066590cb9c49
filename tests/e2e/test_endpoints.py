"""Everything beside transcription: models, health, debug, the API document, and what is not there."""

import platform
import re
import select
import socket
from http.client import HTTPResponse
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest
import yaml

from tests.service import Service

ARENA_BYTES: Final = 64 * 2**20  # of any but the first: reserved at a multiple of it, opened bit by bit (glibc's malloc/arena.c)


def test_models_are_listed_and_found_by_each_name(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    for model in listed["data"]:
        assert set(model) == {"id", "object", "created", "owned_by", "demonstration"}
        assert model["object"] == "model"
        assert model["demonstration"] is True  # the bundled one
        assert client.get(f"/v1/models/{model['id']}").json() == model
    missing = client.get("/v1/models/nvidia%2Fno-such-model")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"
    assert "nvidia/no-such-model" in missing.json()["error"]["message"]


def test_health_and_readiness(client: httpx.Client, device: str) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert ready == {"status": "ready", "model": "parakeet-tdt-demo", "device": device, "precision": "float32"}


def test_the_model_configuration_is_yaml_or_json(client: httpx.Client) -> None:
    as_yaml = client.get("/debug/cfg")
    assert as_yaml.headers["content-type"].startswith("application/yaml")
    as_json = client.get("/debug/cfg", headers={"accept": "application/json"})
    assert as_json.headers["content-type"].startswith("application/json")
    assert yaml.safe_load(as_yaml.text) == as_json.json()
    assert as_json.json()["preprocessor"]["features"] == 128


def test_the_api_document_describes_the_endpoints(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200
    document = client.get("/docs/openapi.json").json()
    operation = document["paths"]["/v1/audio/transcriptions"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["response_format"]["enum"] == ["json", "text", "srt", "vtt", "verbose_json"]
    assert {"200", "400", "404", "413", "500", "503"} <= set(operation["responses"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/no/such/path", 404), ("DELETE", "/v1/models/whisper-1", 405), ("GET", "/v1/audio/transcriptions", 405)],
)
def test_what_is_not_there_is_said_in_the_envelope(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_request_id_is_returned_and_a_strange_one_replaced(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert client.get("/healthz", headers={"x-request-id": "a b<c>"}).headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data; name=file\r\n\r\nno end"),
        ("multipart/form-data; boundary=x", b"no boundary anywhere"),
        ("multipart/form-data; boundary=x", b"--x\r\nno header at all\r\n\r\n\r\n--x--\r\n"),
    ],
)
def test_a_body_that_is_no_form_is_refused(client: httpx.Client, content_type: str, body: bytes) -> None:
    answer = client.post("/v1/audio/transcriptions", headers={"content-type": content_type}, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"


@pytest.mark.parametrize("field", ["response_format", "stream", "include_timestamps"])
def test_a_wrong_field_is_named(client: httpx.Client, field: str) -> None:
    path = "/transcribe" if field == "include_timestamps" else "/v1/audio/transcriptions"
    answer = client.post(path, files={"file": ("a.wav", b"RIFF"), field: (None, "perhaps")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


def test_a_client_that_is_still_sending_gets_the_answer_given_early(service: Service) -> None:
    url, piece = httpx.URL(service.url), b"x" * 2**20
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(f"POST /nope HTTP/1.1\r\nHost: here\r\nContent-Length: {4 * len(piece)}\r\n\r\n".encode() + piece)
        assert select.select([connection], [], [], 30)[0]  # the answer is there, and not read yet
        for _ in range(3):
            connection.sendall(piece)
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 404
        answer.read()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_all_threads_of_the_worker_share_one_arena(service: Service) -> None:
    (worker,) = psutil.Process(service.process.pid).children()
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    found = re.findall(r"^(\w+)-(\w+) (\S+) \S+ \S+ 0 *$", maps, re.MULTILINE)  # those of no file
    unnamed = [(int(first, 16), int(end, 16), access) for first, end, access in found]
    others = [
        opened
        for opened, closed in pairwise(unnamed)
        if (opened[1], opened[2], closed[2]) == (closed[0], "rw-p", "---p")
        if opened[0] % ARENA_BYTES == closed[1] % ARENA_BYTES == 0
    ]
    assert others == []

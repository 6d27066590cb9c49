"""The service over TLS, with a file of keys: one process for all tests. And what it leaves of a request in log and on disk."""

import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from app.entrypoints.keys import new_key
from bench.service import RULER
from bench.troubled_ruler import float_wav, said, text_of
from tests.service import Service, running_service

PATIENCE_S: Final = 60.0
WORDS: Final = (3_001, 3_002, 3_003)  # each written as five characters that nothing else holds
MARK: Final = f"mark{secrets.token_hex(8)}"  # in everything a client sends below


class Guarded:
    """The service, and the file of its keys."""

    def __init__(self, service: Service, key_file: Path, temporary: Path) -> None:
        self.service, self.key_file, self.temporary = service, key_file, temporary

    def let_in(self, *names: str) -> dict[str, str]:
        """Write new keys for these names into the file; wait until they open, and return them."""
        made = {name: new_key(name) for name in names}
        self.key_file.write_text("".join(f"{key.entry}\n" for _, key in made.values()))
        for secret, _ in made.values():
            wait_until(lambda secret=secret: self.get("/nothing", secret).status_code == 404)  # type: ignore[misc]
        return {name: secret for name, (secret, _) in made.items()}

    def get(self, path: str, secret: str) -> httpx.Response:
        with self.client(secret) as client:
            return client.get(path)

    def client(self, secret: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=self.service.url, verify=self.service.trust or True, headers=headers, timeout=PATIENCE_S)

    def live(self, path: str) -> Connection:
        return connect(self.service.url.replace("http", "ws", 1) + path, ssl=self.service.trust, open_timeout=PATIENCE_S)


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "keys").touch()
    (folder / "temporary").mkdir()
    settings = {
        "STT_TLS_CERT": str(folder / "cert.pem"),
        "STT_TLS_KEY": str(folder / "key.pem"),
        "STT_API_KEYS_FILE": str(folder / "keys"),
        "STT_LOG_LEVEL": "debug",
        "TMPDIR": str(folder / "temporary"),
    }
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with running_service(program=RULER, settings=settings, trust=trust) as service:
        service.wait_until_ready()
        yield Guarded(service, folder / "keys", folder / "temporary")


def test_tls_alone_is_spoken(guarded: Guarded) -> None:
    assert guarded.get("/healthz", "any").json() == {"status": "ok"}
    with pytest.raises(httpx.TransportError):
        httpx.get(guarded.service.url.replace("https", "http", 1) + "/healthz")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(guarded.service.url + "/healthz", verify=ssl.create_default_context())
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    older.check_hostname, older.verify_mode, older.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError, match=r"(?i)protocol.version"):
        httpx.get(guarded.service.url + "/healthz", verify=older)


def test_keys_come_and_go_with_the_file_and_a_broken_one_changes_nothing(guarded: Guarded) -> None:
    alice, bob = guarded.let_in("alice", "bob").values()
    guarded.key_file.write_text("no entry\n")
    wait_until(lambda: '"api_keys_kept"' in guarded.service.log)
    assert [guarded.get("/nothing", secret).status_code for secret in (alice, bob)] == [404, 404]
    (bob_anew,) = guarded.let_in("bob").values()
    assert [guarded.get("/nothing", secret).status_code for secret in (alice, bob, bob_anew)] == [401, 401, 404]


def test_a_key_that_goes_closes_nothing_that_is_open_and_opens_nothing_more(guarded: Guarded) -> None:
    (alice,) = guarded.let_in("alice").values()
    with guarded.live(f"/ws?encoding=pcm_f32le&api_key={alice}") as socket:
        guarded.let_in("bob")
        with guarded.live(f"/ws?api_key={alice}") as refused:
            assert json.loads(refused.recv(PATIENCE_S))["error"]["code"] == "invalid_api_key"
        socket.send(said(*WORDS).samples.tobytes())
        socket.send('{"type": "finish"}')
        told = [json.loads(message) for message in socket]
    assert " ".join(message["text"] for message in told if message.get("final")) == text_of(*WORDS)
    assert told[-1] == {"status": "finished"}


def marked_wav() -> bytes:
    """A recording with the mark in a remark, as recorders leave them."""
    remark = b"INFOICMT" + len(MARK).to_bytes(4, "little") + MARK.encode()
    return float_wav(said(*WORDS)) + b"LIST" + len(remark).to_bytes(4, "little") + remark


def send(client: httpx.Client, data: bytes, *, path: str = "/v1/audio/transcriptions", **fields: str) -> httpx.Response:
    return client.post(path, params={"secret": MARK}, files={"file": (f"{MARK}.wav", data)}, data=fields)


def talk(socket: Connection, *messages: str | bytes) -> list[dict[str, Any]]:
    """Send all, and read until the server closes."""
    for message in messages:
        socket.send(message)
    told = []
    try:
        while True:
            told.append(json.loads(socket.recv(PATIENCE_S)))
    except ConnectionClosed:
        return told


def test_nothing_of_a_request_is_left_in_the_log_or_on_disk(guarded: Guarded) -> None:
    (secret,) = guarded.let_in("alice").values()
    before = sorted(guarded.temporary.rglob("*"))
    text = ""
    with guarded.client(secret) as client:
        for fields in (
            {"prompt": MARK, "keywords[]": MARK, "language": "en"},
            {"stream": "true"},
            {"response_format": "verbose_json"},
        ):
            answer = send(client, marked_wav(), **fields)
            assert answer.status_code == 200, answer.text
            text = text or answer.json()["text"]
        refused = [send(client, marked_wav(), model=MARK), send(client, marked_wav(), response_format=MARK)]
        refused += [send(client, MARK.encode()), send(client, marked_wav()[:40] + MARK.encode()), send(client, b"")]
        refused += [client.post("/transcribe", content=MARK, headers={"content-type": f"multipart/form-data; boundary={MARK}"})]
        refused += [client.get("/v1/models", headers={"authorization": f"Bearer {MARK}"}, params={"api_key": MARK})]
        assert {answer.status_code for answer in refused} == {400, 401, 404}
        minted = client.post("/v1/realtime/client_secrets", json={}).json()["value"]
    with guarded.live(f"/ws?encoding=pcm_f32le&token={secret}&keywords={MARK}") as socket:
        told = talk(socket, said(*WORDS).samples.tobytes(), MARK, '{"type": "finish"}')
    live = " ".join(message["text"] for message in told if message.get("final"))
    with guarded.live(f"/ws?api_key={MARK}") as socket:
        talk(socket)
    with guarded.live(f"/v1/realtime?token={minted}&secret={MARK}") as socket:
        created = json.loads(socket.recv(PATIENCE_S))
        socket.send(MARK)
        error = json.loads(socket.recv(PATIENCE_S))
    assert (created["type"], error["type"]) == ("session.created", "error")
    finished = ("request_finished", "live_session_finished")
    wait_until(lambda: guarded.service.log.count('"protocol": "realtime"') == 1)

    events = [json.loads(line) for line in guarded.service.log.splitlines() if line.startswith("{")]
    assert {event.get("key") for event in events if event["event"] in finished} >= {"alice", None}
    assert text == live == text_of(*WORDS)
    hidden = {MARK, secret, secret.removeprefix("stt_"), minted, *text.split()}
    assert [word for word in hidden if word in guarded.service.log] == []
    assert "Traceback" not in guarded.service.log
    assert sorted(guarded.temporary.rglob("*")) == before
    assert [path for path in before if path.is_file() and MARK.encode() in path.read_bytes()] == []

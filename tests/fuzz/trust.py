"""What decides who is let in, and what reads what an operator wrote or a decoding process says."""

import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from app.adapters.processes.wire import (
    HEAD_BYTES,
    Answer,
    Drop,
    Open,
    Pull,
    Ready,
    Refusal,
    WireError,
    next_request,
    packed,
    unpacked,
)
from app.domain.ports import DecodeLimits
from app.entrypoints.http.requests import begin_request
from app.entrypoints.key_file import check_key_file
from app.entrypoints.keys import Keys, KeysError, read_keys
from app.entrypoints.proxies import Proxies, read_address
from app.entrypoints.rates import Rates
from app.entrypoints.websocket.closes import REFUSED, RefusedError
from app.entrypoints.websocket.entrance import Entrance
from app.setting_sources import CONFIG_FILE, environment_of, read_settings
from app.settings import SettingsError

_KEY: Final = "sk-right"
_KEYS_TOLD: Final = re.compile(r"line \d+ is not `name:sha256:<64 hex digits>`|it is no text in UTF-8|it is longer than \d+ bytes")
_USABLE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_ENTRANCE: Final = Entrance(
    Keys((_KEY,)), Rates(requests_per_minute=0, audio_s_per_minute=0, now_s=lambda: 0.0), ("https://app.example",)
)
_PROXIES: Final = Proxies(("10.0.0.0/8", "::1"))


def listen(data: bytes) -> None:
    """What a decoding process says is a message or refused, and so is what it is asked; each is written as it was read."""
    for kind in (Answer, Ready):
        with suppress(WireError):
            body = packed(unpacked(data, kind))[HEAD_BYTES:]
            assert packed(unpacked(body, kind))[HEAD_BYTES:] == body
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with suppress(WireError):
            while (asked := next_request(theirs)) is not None:
                assert isinstance(asked[0], Open | Pull | Drop)


def knock(data: bytes) -> None:
    """A WebSocket with this query, these subprotocols and headers: nobody is let in without the key, whatever else is sent."""
    query, protocols, *lines = [*data.split(b"\n"), b""]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope: Any = {
        "type": "websocket", "headers": headers, "query_string": query, "client": ("10.0.0.1", 1),
        "subprotocols": [one.strip() for one in protocols.decode("latin-1").split(",")],
    }  # fmt: skip
    request_id, _ = begin_request(headers)
    assert _USABLE_ID.fullmatch(request_id)
    try:
        _ENTRANCE.admit(scope)
    except RefusedError as refusal:
        assert refusal.code == REFUSED
        assert _KEY not in msgspec.json.encode(refusal.body).decode()
    else:
        assert _KEY in unquote_plus(data.decode("latin-1"))
    values = [value.decode("latin-1") for _, value in headers]
    for value in values:
        read_address(value)
    sender = _PROXIES.sender(ip_address("10.0.0.1"), values)
    assert read_address(str(sender)) == sender


def open_with(data: bytes) -> None:
    """A file of keys is taken whole or refused, in words that repeat nothing of it."""
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            check_key_file(Path(file.name))
        except KeysError as fault:
            assert _KEYS_TOLD.fullmatch(str(fault))
            return
    keys = read_keys(data.decode("utf-8-sig"))
    assert read_keys("\n".join(key.entry for key in keys)) == keys


def configure(data: bytes) -> None:
    """A TOML file is settings, which survive being handed on, or every fault of it is told."""
    with NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            settings = read_settings({CONFIG_FILE: file.name})
        except SettingsError as fault:
            assert str(fault)
            return
    assert read_settings(environment_of(settings)) == settings


def wire_messages() -> Iterable[bytes]:
    """Messages of both sides, those of the service with their lengths."""
    limits = DecodeLimits(max_duration_s=2.5)
    asked = [packed(one) for one in (Open(job=1, limits=limits, skip_samples=7), Pull(job=1), Drop(job=1))]
    yield from (*asked, b"".join(asked))
    for said in (Ready(), Answer(n_samples=5, truncated=True, ended=True), Answer(refusal=Refusal("OSError", "text"), lost=True)):
        yield packed(said)[HEAD_BYTES:]


def knocks() -> Iterable[bytes]:
    """Keys in every place where one may be, right and wrong, and the other headers that are read."""
    yield b"api_key=sk-right\n\nhost: a\nx-request-id: abc-1"
    yield b"token=sk-wrong&words=1\nrealtime, openai-insecure-api-key.sk-right\nauthorization: Basic abc"
    yield b"\nopenai-insecure-api-key.sk-wrong\nauthorization: Bearer sk-right\norigin: https://app.example\nhost: app.example:443"
    yield b"\n\nauthorization: Bearer sk-wrong\norigin: http://testserver:80\nhost: testserver"
    yield b"api_key=%73k-right\n\nx-forwarded-for: 1.2.3.4, [::1]:80, ::ffff:10.0.0.9, fe80::1%eth0\nx-forwarded-proto: https"


def key_files() -> Iterable[bytes]:
    """Files of keys, good and broken."""
    entry = b"alice:sha256:" + b"0aF" * 21 + b"9"
    yield b"# keys\n\n" + entry + b"\n  bob-2.x_" + entry[5:] + b"  \r\n"
    yield b"\xef\xbb\xbf" + entry + b"\n" + entry
    yield b"alice:sha256:12\n" + entry[:-1]
    yield b"sk-plain\n"


def toml_files() -> Iterable[bytes]:
    """Settings, good and broken."""
    yield b'host = "0.0.0.0"\nport = 90\nmodel = "bundled"\ncors_origins = ["https://a.example"]\npage = false\nmax_audio_s = 60.5'
    yield b'api_keys = ["sk-a", "alice:sha256:00"]\ntrusted_proxies = "10.0.0.0/8,::1"\nmodel_aliases = "a, b"\nlog_level = "loud"'
    yield b'prot = 1\nport = 70000\ntls_cert = "a"\ndevice = "cuda:0"\nprecision = [[1]]\n[section]\nhost = 1979-05-27T07:32:00Z\n'

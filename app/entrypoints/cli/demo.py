"""`parakeet-stt demo`: the real service, asked once over HTTP."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.resources import as_file, files
from typing import Any, Final

import msgspec

from ...setting_sources import environment_of
from ...settings import Settings
from ..keys import new_key

_PACKAGE: Final = __package__.partition(".")[0]
_BOUNDARY: Final = "parakeet-stt-demo"
_POLL_S: Final = 0.2


def demo(settings: Settings) -> int:
    """Start the service, send it the sample, print what it heard, and stay until Ctrl-C; the service's exit status."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # whatever ends us, the service is told
    secret = ""
    if settings.api_keys or settings.api_keys_file:
        secret, key = new_key("demo")  # of our own: of the others the service may know hashes alone
        settings = msgspec.structs.replace(settings, api_keys=(*settings.api_keys, key.entry))
    print(f"starting the service on {base} with the model `{settings.model}` (loading takes some seconds)", flush=True)
    with (
        as_file(files(_PACKAGE) / "samples" / "hello.wav") as sample,
        subprocess.Popen(
            [sys.executable, "-m", _PACKAGE, "serve"],
            env={**os.environ, **environment_of(settings)},
            process_group=0,  # not the terminal's: one Ctrl-C would reach it twice, and the second signal ends it at once
        ) as service,
    ):
        try:
            if not _wait_until_ready(base, service):
                return service.wait() or 1
            transcript = _transcribe(base, sample.read_bytes(), secret)
            print(f"\nsent:  {sample}")
            print(f"heard: {transcript['text']}\n")
            print("Try it yourself, with this file or one of your own:\n")
            options = "--insecure " if settings.tls_cert else ""  # the certificate may well be for another name
            options += '-H "Authorization: Bearer $KEY" ' if secret else ""  # which is for nobody else to read here
            print(f"  curl {options}-F file=@{sample} {base}/v1/audio/transcriptions\n")
            if settings.page:
                print(f"Or open {base}/ in a browser.\n")
            print("The service stays up until Ctrl-C.", flush=True)
            return service.wait()
        except KeyboardInterrupt:
            return _stopped(service)
        finally:
            if service.poll() is None:
                service.send_signal(signal.SIGTERM)


def _opener() -> urllib.request.OpenerDirector:
    """Ask our own address: no proxy can reach it, and the certificate of the service may well be for another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


def _wait_until_ready(base: str, service: "subprocess.Popen[bytes]") -> bool:
    opener = _opener()
    while service.poll() is None:
        try:
            with opener.open(f"{base}/readyz"):
                return True
        except urllib.error.HTTPError as answer:
            answer.close()
        except urllib.error.URLError:
            pass  # not listening yet
        time.sleep(_POLL_S)
    return False


def _transcribe(base: str, wav: bytes, secret: str) -> Any:
    head = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="hello.wav"\r\n\r\n'
    body = head.encode() + wav + f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
    if secret:
        headers["authorization"] = f"Bearer {secret}"
    request = urllib.request.Request(f"{base}/v1/audio/transcriptions", body, headers)  # noqa: S310  # our own address
    with _opener().open(request) as answer:
        return json.load(answer)


def _stopped(service: "subprocess.Popen[bytes]") -> int:
    if service.poll() is None:
        service.send_signal(signal.SIGINT)
    return service.wait()

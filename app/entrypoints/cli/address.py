"""The address of a running service, as `--server` takes it."""

from typing import Final
from urllib.parse import urlsplit

from .sources import UsageError

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def service_address(given: str) -> str:
    """Return it as `http://host:port/path` (or https), without the `/v1` that OpenAI's clients have at its end.

    Raises:
        UsageError: That is no address of a service.
    """
    try:
        parts = urlsplit(given)
        known = parts.scheme in _SCHEMES and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # what is no port, or no IPv6 address
        known = False
    if not known:
        raise UsageError(f"--server {given}: a service has an address like http://127.0.0.1:8000")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"

"""The certificate and key of TLS, looked at before anything that takes time."""

import ssl
from pathlib import Path

from ...settings import Settings, SettingsError


def check_tls(settings: Settings) -> None:
    """Make sure that the server can use the files that the settings name.

    Raises:
        SettingsError: It cannot; Granian would find out in its worker, and crash.
    """
    if not settings.tls_cert:
        return
    files = f"tls_cert, tls_key: {settings.tls_cert}, {settings.tls_key}"
    try:
        if "ENCRYPTED" in Path(settings.tls_key).read_text("latin-1"):  # Granian 2.8.7 reads no key that OpenSSL encrypted
            raise SettingsError(f"tls_key: {settings.tls_key} needs a password: write it without, `openssl pkey -in OLD -out NEW`")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
    except ssl.SSLError as fault:
        raise SettingsError(f"{files}: these are no certificate and its key, in PEM: {fault.reason}") from fault
    except OSError as fault:
        raise SettingsError(f"{files}: {fault.strerror}") from fault

"""Files that the settings name, looked at before the service starts: certificates, their keys, and the file of API keys."""

from pathlib import Path
from typing import Final

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.entrypoints.cli.main import main
from app.entrypoints.cli.tls import check_tls
from app.settings import Settings, SettingsError

CERTIFICATE: Final = trustme.CA().issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
PEM: Final = CERTIFICATE.private_key_pem.bytes()


def written(form: PrivateFormat, *, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return load_pem_private_key(PEM, None).private_bytes(Encoding.PEM, form, encryption)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A certificate and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    CERTIFICATE.cert_chain_pems[0].write_to_path(cert)
    key.write_bytes(PEM)
    return Settings(tls_cert=str(cert), tls_key=str(key))


def test_without_a_certificate_there_is_nothing_to_look_at() -> None:
    check_tls(Settings())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_certificate_and_its_key_are_fine_in_either_form(settings: Settings, form: PrivateFormat) -> None:
    Path(settings.tls_key).write_bytes(written(form))
    check_tls(settings)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_with_a_password_is_refused_with_what_to_do(settings: Settings, form: PrivateFormat) -> None:
    Path(settings.tls_key).write_bytes(written(form, password=b"secret"))
    with pytest.raises(SettingsError, match=r"needs a password.*openssl pkey"):
        check_tls(settings)


@pytest.mark.parametrize(
    ("which", "content"),
    [
        ("tls_cert", b""), ("tls_cert", b"no certificate"), ("tls_cert", PEM), ("tls_key", b""), ("tls_key", b"\xff\xfe"),
        ("tls_key", trustme.CA().private_key_pem.bytes()),
    ],
    ids=["empty", "no certificate", "a key", "empty", "no key", "another's key"],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused_by_name(settings: Settings, which: str, content: bytes) -> None:
    Path(getattr(settings, which)).write_bytes(content)
    with pytest.raises(SettingsError) as fault:
        check_tls(settings)
    assert getattr(settings, which) in str(fault.value)


@pytest.mark.parametrize("which", ["tls_cert", "tls_key"])
def test_a_file_that_is_not_there_is_refused_by_name(settings: Settings, which: str) -> None:
    Path(getattr(settings, which)).unlink()
    with pytest.raises(SettingsError, match="No such file") as fault:
        check_tls(settings)
    assert getattr(settings, which) in str(fault.value)


def test_the_command_ends_with_2_before_anything_starts(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hush-hush\n")
    assert main(["serve", "--model", "bundled", "--api-keys-file", str(keys)]) == 2
    told = capsys.readouterr().err
    assert f"api_keys_file: {keys}: line 1 is not `name:sha256:" in told
    assert "hush" not in told
    assert main(["serve", "--model", "bundled", "--tls-cert", settings.tls_cert, "--tls-key", str(keys)]) == 2
    assert f"tls_cert, tls_key: {settings.tls_cert}, {keys}: " in capsys.readouterr().err

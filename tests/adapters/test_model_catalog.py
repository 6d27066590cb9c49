"""What models there are, told without a network and without opening one."""

import hashlib
from pathlib import Path
from typing import Final

import pytest

from app.adapters.nemo.catalog import cached_entries, entry_of
from app.adapters.nemo.device import describe_device, device_of
from app.adapters.nemo.source import PINS, PRODUCTION
from app.domain.catalog import ModelEntry
from app.domain.errors import ModelUnavailableError

REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
CONTENT: Final = b"a model, as far as this matters"
SHA256: Final = hashlib.sha256(CONTENT).hexdigest()
MODEL: Final = f"acme/tiny@{REVISION}#{SHA256}"


def put(cache: Path, repo: str, revision: str, name: str, sha256: str) -> Path:
    """Lay a file where the hub's library does."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (blob := folder / "blobs" / sha256).parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(CONTENT)
    (link := folder / "snapshots" / revision / name).parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link


def test_the_bundled_model_is_in_the_package() -> None:
    entry = entry_of("bundled")
    assert entry.place == "package"
    assert entry.path
    assert entry.size_bytes == Path(entry.path).stat().st_size


def test_what_is_in_the_cache_is_told_with_the_name_that_serves_it(tmp_path: Path) -> None:
    pin = PINS[PRODUCTION]
    of_production = put(tmp_path, PRODUCTION, pin.revision, pin.file_name, pin.sha256)
    of_tiny = put(tmp_path, "acme/tiny", REVISION, "tiny.nemo", SHA256)
    put(tmp_path, "acme/tiny", REVISION, "config.json", "e" * 40)
    put(tmp_path, "acme/other", REVISION, "another-name.nemo", SHA256)
    size = len(CONTENT)
    assert cached_entries(cache_dir=tmp_path) == [
        ModelEntry(model=MODEL, place="cache", revision=REVISION, path=str(of_tiny), size_bytes=size),
        ModelEntry(model=PRODUCTION, place="cache", revision=pin.revision, path=str(of_production), size_bytes=size),
    ]
    assert [entry_of(model, cache_dir=tmp_path) for model in (MODEL, PRODUCTION)] == cached_entries(cache_dir=tmp_path)
    assert entry_of(MODEL, check=True, cache_dir=tmp_path).place == "cache"
    wrong = entry_of(PRODUCTION, check=True, cache_dir=tmp_path)
    assert wrong.place == "nowhere"
    assert f"found {SHA256}" in (wrong.fault or "")


def test_what_is_not_here_is_told(tmp_path: Path) -> None:
    assert cached_entries(cache_dir=tmp_path / "none") == []
    on_hub = entry_of(PRODUCTION, cache_dir=tmp_path)
    assert (on_hub.place, on_hub.size_bytes) == ("hub", 2_470_000_000)
    assert entry_of(MODEL, cache_dir=tmp_path).size_bytes is None
    nowhere = entry_of(str(tmp_path / "missing.nemo"))
    assert (nowhere.place, nowhere.path) == ("nowhere", None)
    assert "there is no model file" in (nowhere.fault or "")


def test_a_processor_is_told_with_the_precision_it_would_get() -> None:
    assert describe_device("cpu", "bfloat16").precision == "bfloat16"
    assert describe_device("cpu", "auto").precision.startswith(("bfloat16", "float32"))
    assert describe_device("cpu", "auto").device == str(device_of("cpu", "auto")) == "cpu"


@pytest.mark.parametrize(("device", "precision"), [("tpu", "auto"), ("cpu", "int8"), ("cpu", "float16"), ("cuda:99", "auto")])
def test_a_device_or_precision_that_is_not_there_is_refused(device: str, precision: str) -> None:
    with pytest.raises(ModelUnavailableError):
        describe_device(device, precision)

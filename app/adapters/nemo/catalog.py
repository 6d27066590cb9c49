"""What models there are on this machine: the one in the package, one that is named, and what lies in the hub's cache."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

from ...domain.catalog import CacheEntry, ModelEntry, Place
from ...domain.errors import ModelUnavailableError
from .source import BUNDLED, PINS, HubModel, ModelFile, cached_path, checked, known

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def entry_of(model: str, *, check: bool = False, cache_dir: Path | None = None) -> ModelEntry:
    """Tell of one model, as `locate` takes it, without asking the hub.

    Args:
        check: Read a file of the hub's, and say if it is not the pinned one.
        cache_dir: The hub's cache, as for `locate`.
    """
    try:
        found = known(model)
        if isinstance(found, ModelFile):
            place: Place = "package" if model == BUNDLED else "file"
            return ModelEntry(model=model, place=place, path=str(found.path), size_bytes=found.path.stat().st_size)
        path = cached_path(found, cache_dir)
        if path and check:
            checked(path, found)
    except ModelUnavailableError as fault:
        return ModelEntry(model=model, place="nowhere", fault=str(fault))
    if path:
        return ModelEntry(model=model, place="cache", revision=found.revision, path=str(path), size_bytes=path.stat().st_size)
    return ModelEntry(model=model, place="hub", revision=found.revision, size_bytes=found.about_bytes)


def cache_entry() -> CacheEntry:
    """Tell of the hub's cache, as the hub library's variables have it."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return CacheEntry(
        path=str(cache),
        free_bytes=shutil.disk_usage(there).free,
        writable=os.access(there, os.W_OK),
        offline=constants.is_offline_mode(),
    )


def cached_entries(*, cache_dir: Path | None = None) -> list[ModelEntry]:
    """Tell of every file in the hub's cache that could be served: `<name>.nemo` of `owner/name`, whose hash is its name there."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(cache_dir).repos
    except CacheNotFound:
        return []
    entries = [
        ModelEntry(
            model=_name_of(HubModel(repo=repo.repo_id, revision=revision.commit_hash, sha256=file.blob_path.name)),
            place="cache",
            revision=revision.commit_hash,
            path=str(file.file_path),
            size_bytes=file.size_on_disk,
        )
        for repo in repos
        for revision in repo.revisions
        for file in revision.files
        if file.file_name == f"{repo.repo_id.partition('/')[2]}.nemo" and _SHA256.fullmatch(file.blob_path.name)
    ]
    return sorted(entries, key=lambda entry: entry.model)


def _name_of(found: HubModel) -> str:
    """Return what `STT_MODEL` takes to have it: of a pinned one its short name."""
    pinned = PINS.get(found.repo)
    if pinned and (pinned.revision, pinned.sha256) == (found.revision, found.sha256):
        return found.repo
    return f"{found.repo}@{found.revision}#{found.sha256}"

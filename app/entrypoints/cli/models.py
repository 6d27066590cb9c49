"""`parakeet-stt models`: what can be served here, and what `STT_MODEL` must be for it."""

import sys
from typing import Final

import msgspec

from ...container import known_models
from ...domain.catalog import ModelEntry
from ...settings import Settings
from .checks_parts import INSTALL

_UNKNOWN: Final = "-"
_TOLD: Final = {"hub": "not here yet: the first start downloads it", "other": "a recogniser of another make"}


def models(settings: Settings, *, as_json: bool) -> int:
    """Print the configured model first, then the others; 1 if the configured one cannot be had."""
    try:
        entries = known_models(settings)
    except ModuleNotFoundError as missing:
        print(f"parakeet-stt: {missing}; the models are a matter of the extra `nemo`: {INSTALL}", file=sys.stderr)
        return 1
    if as_json:
        told = [{**msgspec.to_builtins(entry), "configured": entry is entries[0]} for entry in entries]
        print(msgspec.json.format(msgspec.json.encode({"models": told}), indent=2).decode())
    else:
        print(_table(entries))
    return 1 if entries[0].place == "nowhere" else 0


def size_of(n_bytes: int | None) -> str:
    """Write 2,470,000,000 as 2.47 GB."""
    if n_bytes is None:
        return _UNKNOWN
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _table(entries: list[ModelEntry]) -> str:
    rows = [("", "STT_MODEL", "where", "size", ""), *(_row(entry, configured=entry is entries[0]) for entry in entries)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(entry: ModelEntry, *, configured: bool) -> tuple[str, str, str, str, str]:
    told = _TOLD.get(entry.place) or entry.fault or entry.path or ""
    return ("*" if configured else "", entry.model, entry.place, size_of(entry.size_bytes), told)

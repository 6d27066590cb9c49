"""What an operator is told of models, devices and the cache, before anything is loaded."""

from typing import Literal

import msgspec

Place = Literal["package", "file", "cache", "hub", "other", "nowhere"]


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model and where it is: in the package, a file of the operator's, in the hub's cache, still on the hub alone, made by a
    recogniser of another make, or nowhere; `fault` then says why."""

    model: str  # what `STT_MODEL` takes
    place: Place
    revision: str | None = None
    path: str | None = None
    size_bytes: int | None = None  # on the hub about, and None where nobody has said it
    fault: str | None = None


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a model would run on."""

    device: str
    precision: str
    told: str = ""  # of a device with a name of its own
    doubt: str = ""  # why it may not be the one that is wanted


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where models from the hub are kept."""

    path: str
    free_bytes: int
    writable: bool
    offline: bool  # downloads are forbidden

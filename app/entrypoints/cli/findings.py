"""What `doctor` finds: how things stand, and where they do not stand well, what to do."""

from typing import Literal

import msgspec

State = Literal["ok", "warning", "failure"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. A failure keeps the service from working; a warning may well be meant so."""

    topic: str
    state: State = "ok"
    told: str
    fix: str = ""

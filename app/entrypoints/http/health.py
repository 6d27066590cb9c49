"""Whether the process lives, and whether it can serve."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from ...domain.engine import Engine
from ..readiness import ReadyCheck
from .openapi import error_responses


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, and nothing else: whoever can read it has reached a live process."""

    status: str = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The model that is served and where it runs."""

    status: str = "ready"
    model: str
    device: str
    precision: str


@get("/healthz", responses=error_responses(503), tags=["health"])
async def health(engine: NamedDependency[Engine]) -> Health:
    """Say that the process lives, also while the model loads; 503 where only a new process can recognise anything again."""
    if engine.state in ("failed", "broken"):
        engine.recognizer()  # raises what everybody is told
    return Health()


@get("/readyz", responses=error_responses(503), tags=["health"])
async def readiness(ready: NamedDependency[ReadyCheck]) -> Readiness:
    """Say that the model is loaded and warm; 503 while it is not or is away, no file can be decoded, or the service goes down."""
    facts = ready.recognizer().facts
    return Readiness(model=facts.model_id, device=facts.device, precision=facts.precision)

"""OpenAI's model endpoints: the one model that is served, under each of its names."""

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from ...domain.engine import Engine
from ...domain.errors import UnknownModelError
from ...settings import Settings
from .openapi import error_responses
from .service import served_names


class ModelBody(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "object"}):
    """OpenAI's model object. `demonstration` is ours: true if nobody should rely on what the model writes."""

    id: str
    kind: str = "model"
    created: int
    owned_by: str
    demonstration: bool


class ModelList(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "object"}):
    """OpenAI's list of models."""

    kind: str = "list"
    data: list[ModelBody]


@get("/v1/models", responses=error_responses(401, 429, 503), tags=["models"])
async def list_models(
    engine: NamedDependency[Engine], settings: NamedDependency[Settings], started_unix_s: NamedDependency[int]
) -> ModelList:
    """List the served model, once for every name it answers to."""
    return ModelList(data=[_model(name, engine, started_unix_s) for name in served_names(engine, settings)])


@get("/v1/models/{name:path}", responses=error_responses(401, 404, 429, 503), tags=["models"])
async def retrieve_model(
    name: FromPath[str], engine: NamedDependency[Engine], settings: NamedDependency[Settings], started_unix_s: NamedDependency[int]
) -> ModelBody:
    """Describe the model of that name; a slash in it may be sent as it is or as %2F."""
    asked = name.removeprefix("/")  # Litestar hands a path over with its slash
    served = served_names(engine, settings)
    if asked not in served:
        raise UnknownModelError(asked=asked[:100], served=served)
    return _model(asked, engine, started_unix_s)


def _model(name: str, engine: Engine, created: int) -> ModelBody:
    facts = engine.recognizer().facts
    owner, slash, _ = facts.model_id.partition("/")
    return ModelBody(id=name, created=created, owned_by=owner if slash else "parakeet-stt", demonstration=facts.demonstration)

"""What an operator may look at."""

from typing import Any

import msgspec
import yaml
from litestar import MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from ...domain.engine import Engine
from ...settings import Settings, fields
from ..batch_log import Batch, BatchLog
from ..stacks import stacks
from .openapi import answering_operation, error_responses


@get(
    "/debug/cfg",
    operation_class=answering_operation({"application/yaml": (dict[str, Any],), "application/json": (dict[str, Any],)}),
    responses=error_responses(401, 429, 503),
    tags=["debug"],
    sync_to_thread=True,  # of a large model it takes a tenth of a second and more
)
def model_configuration(request: Request[None, None, State], engine: NamedDependency[Engine]) -> Response[bytes]:
    """Show the model's resolved configuration: YAML, or JSON if the `Accept` header prefers it."""
    configuration = dict(engine.recognizer().configuration())
    if request.accept.best_match(["application/yaml", "application/json"], "application/yaml") == "application/json":
        return Response(configuration, media_type="application/json")  # type: ignore[arg-type]  # Litestar encodes it
    return Response(yaml.safe_dump(configuration, sort_keys=False).encode(), media_type="application/yaml")


class ShownSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in force; of a secret only how many parts it has."""

    value: Any
    default: Any


@get("/debug/settings", responses=error_responses(401, 429), tags=["debug"])
async def settings_in_force(settings: NamedDependency[Settings]) -> dict[str, ShownSetting]:
    """Show the settings in force beside their defaults; keys are hidden."""
    return {name: ShownSetting(value=value, default=fields()[name].default) for name, value in settings.__rich_repr__()}


@get("/debug/batches", responses=error_responses(401, 429), tags=["debug"])
async def latest_batches(batch_log: NamedDependency[BatchLog]) -> list[Batch]:
    """Show the last few hundred calls of the recogniser, the latest first."""
    return batch_log.latest


@get("/debug/stacks", media_type=MediaType.TEXT, responses=error_responses(401, 429), tags=["debug"])
async def running_stacks() -> str:
    """Show what every thread and every task is doing; for a service that seems to stand still."""
    return stacks()

"""What an operator may look at."""

from typing import Any

import yaml
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from ...domain.engine import Engine
from .openapi import answering_operation, error_responses


@get(
    "/debug/cfg",
    operation_class=answering_operation({"application/yaml": (dict[str, Any],), "application/json": (dict[str, Any],)}),
    responses=error_responses(401, 503),
    tags=["debug"],
)
async def model_configuration(request: Request[None, None, State], engine: NamedDependency[Engine]) -> Response[bytes]:
    """Show the model's resolved configuration: YAML, or JSON if the `Accept` header prefers it."""
    configuration = dict(engine.recognizer().configuration())
    if request.accept.best_match(["application/yaml", "application/json"], "application/yaml") == "application/json":
        return Response(configuration, media_type="application/json")  # type: ignore[arg-type]  # Litestar encodes it
    return Response(yaml.safe_dump(configuration, sort_keys=False).encode(), media_type="application/yaml")

"""The service's numbers, for Prometheus to fetch."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from ..metrics.registry import Metrics
from .openapi import answering_operation, error_responses

_TEXT: Final = "text/plain"  # the version is a parameter of it, which the API's document leaves out


@get(
    "/metrics",
    operation_class=answering_operation({_TEXT: (str,)}),
    responses=error_responses(401, 429),
    tags=["debug"],
    sync_to_thread=False,
)
def metrics(numbers: NamedDependency[Metrics]) -> Response[bytes]:
    """Tell Prometheus what the service does."""
    return Response(numbers.text(), media_type=CONTENT_TYPE_LATEST)

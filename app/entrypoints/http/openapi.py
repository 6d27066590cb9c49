"""The parts of the OpenAPI document that signatures cannot tell: multipart forms and errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat

from ..errors import ErrorBody

_REASONS: Final = {
    400: "A field is missing, malformed or wrong, or the audio cannot be used.",
    404: "There is no such model.",
    406: "The answer is not offered in that form.",
    413: "The upload is larger than the limit.",
    500: "Our fault.",
    503: "Not now: the service is full, or its model is not ready. `Retry-After` tells when to ask again.",
}


def error_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the errors an operation answers with, all of them OpenAI's envelope."""
    return {status: ResponseSpec(ErrorBody, generate_examples=False, description=_REASONS[status]) for status in statuses}


def form_field(description: str, *, kind: str = "string", one_of: Sequence[str] | None = None, default: Any = None) -> Schema:
    """Describe one text field of a form."""
    return Schema(type=OpenAPIType(kind), description=description, enum=one_of, default=default)


def form_operation(fields: Mapping[str, Schema]) -> type[Operation]:
    """Make the class of an operation whose body is a multipart form: the audio, and these text fields."""
    audio = Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        description="Audio in wav, flac, mp3, ogg, opus, m4a, mp4, mpeg or webm; recognised by content, not by name.",
    )
    schema = Schema(type=OpenAPIType.OBJECT, properties={"file": audio, **fields}, required=["file"])

    @dataclass
    class FormOperation(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=schema)})

    return FormOperation

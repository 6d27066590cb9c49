"""The parts of the OpenAPI document that signatures cannot tell: multipart forms and errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIFormat

from ..errors import ErrorBody
from ..rates import RATE_HEADERS

_REASONS: Final = {
    400: "A field is missing, malformed or wrong (`invalid_value`), or asks for what is not offered (`unsupported_value`); or the"
    " audio cannot be used (`invalid_value`, `audio_too_short`, `audio_too_long`).",
    401: "No API key, or none this service knows (`invalid_api_key`); only where it has keys.",
    404: "There is no such model (`model_not_found`).",
    408: "The body stopped coming, or came too slowly (`request_timeout`).",
    413: "The upload is larger than the limit (`file_too_large`).",
    429: "This key, or without keys this address, has asked for more than it may in a minute (`rate_limit_exceeded`); only where"
    " the service has rates. `Retry-After` tells when to ask again.",
    500: "Our fault (`internal_error`).",
    503: "Not now: the service is full or going down (`overloaded`), or its model is not ready (`not_ready`). `Retry-After` tells"
    " when to ask again.",
}
_KEY: Final = "One of the keys of `STT_API_KEYS` or `STT_API_KEYS_FILE`. Without these settings no key is needed, and any will do."
_RETRY_AFTER: Final = {"retry-after": "Seconds until the next try has a chance."}
_HEADERS: Final = {"429": {**_RETRY_AFTER, **RATE_HEADERS}, "503": _RETRY_AFTER}


def error_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the errors an operation answers with, all of them OpenAI's envelope."""
    return {status: ResponseSpec(ErrorBody, generate_examples=False, description=_REASONS[status]) for status in statuses}


def form_field(
    description: str,
    *,
    kind: str = "string",
    many: bool = False,
    one_of: Sequence[str] | None = None,
    default: Any = None,
    least: float | None = None,
    most: float | None = None,
    longest: int | None = None,
    or_object: type[msgspec.Struct] | None = None,
) -> Schema:
    """Describe one text field of a form.

    Args:
        or_object: It may be such an object too, as JSON; `describe` must be told of the type.
        many: It is a list: the field may be sent several times, at most `most` times. Else `least` and `most` bound a number.
        longest: In characters, of each value.
    """
    if many:
        return Schema(
            type=OpenAPIType.ARRAY,
            description=description,
            items=Schema(type=OpenAPIType(kind), enum=one_of, max_length=longest),
            max_items=None if most is None else int(most),
        )
    if or_object is not None:
        return Schema(description=description, any_of=[Schema(type=OpenAPIType(kind), enum=one_of), *_described([or_object])[0]])
    return Schema(
        type=OpenAPIType(kind),
        description=description,
        enum=one_of,
        default=default,
        minimum=least,
        maximum=most,
        max_length=longest,
    )


def form_operation(fields: Mapping[str, Schema], *, answers: Mapping[str, Sequence[Any]] | None = None) -> type[Operation]:
    """Make the class of an operation whose body is a multipart form: the audio, and these text fields.

    Args:
        answers: Media type to the types of which it holds one, where the handler's signature cannot tell; `components` must
            describe them.
    """
    audio = Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        description="Audio in wav, flac, mp3, ogg, opus, m4a, mp4, mpeg or webm; recognised by content, not by name.",
    )
    schema = Schema(type=OpenAPIType.OBJECT, properties={"file": audio, **fields}, required=["file"])

    @dataclass
    class FormOperation(answering_operation(answers or {})):  # type: ignore[misc]  # a class made by a function
        def __post_init__(self) -> None:
            super().__post_init__()
            self.request_body = RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=schema)})

    return FormOperation


def json_operation(body: type[msgspec.Struct], answer: type[msgspec.Struct]) -> type[Operation]:
    """Make the class of an operation whose body, which may be left out, is a JSON object; `describe` must be told of both types."""

    @dataclass
    class JsonOperation(answering_operation({"application/json": (answer,)})):  # type: ignore[misc]  # a class made by a function
        def __post_init__(self) -> None:
            super().__post_init__()
            schema = _described([body])[0][0]
            self.request_body = RequestBody(required=False, content={"application/json": OpenAPIMediaType(schema=schema)})

    return JsonOperation


def answering_operation(answers: Mapping[str, Sequence[Any]]) -> type[Operation]:
    """Make the class of an operation that answers in several media types: each with the types of which it holds one."""

    @dataclass
    class AnsweringOperation(Operation):
        def __post_init__(self) -> None:
            if answers and self.responses and isinstance(answer := self.responses["200"], OpenAPIResponse):
                answer.content = {
                    kind: OpenAPIMediaType(schema=Schema(any_of=_described(types)[0])) for kind, types in answers.items()
                }

    return AnsweringOperation


def describe(document: OpenAPI, *structs: type[msgspec.Struct]) -> None:
    """Add what Litestar cannot know: the types that operations refer to and no signature names, the keys, our envelope.

    For every operation with parameters it describes a refusal of its own, which our handlers turn into the envelope.
    """
    document.components.schemas.update(_described(structs)[1])
    document.components.security_schemes = {"key": SecurityScheme(type="http", scheme="bearer", description=_KEY)}
    document.security = [{"key": []}, {}]
    refusal = OpenAPIMediaType(schema=Reference(ref=f"#/components/schemas/{ErrorBody.__name__}"))
    for path in (document.paths or {}).values():
        for operation in (path.get, path.post):
            _describe_headers(operation)
            answer = operation and operation.responses and operation.responses.get("400")
            if isinstance(answer, OpenAPIResponse):
                answer.description, answer.content = _REASONS[400], {"application/json": refusal}


def _describe_headers(operation: Operation | None) -> None:
    for status, headers in _HEADERS.items():
        answer = operation and operation.responses and operation.responses.get(status)
        if isinstance(answer, OpenAPIResponse):
            text = Schema(type=OpenAPIType.STRING)
            answer.headers = {
                name: OpenAPIHeader(description=told, schema=text, required=name in _RETRY_AFTER) for name, told in headers.items()
            }


def _described(types: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """JSON schemas, which Litestar passes on as they are: one of each type, and those they refer to by name."""
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")

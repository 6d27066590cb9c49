"""The API's document: valid, complete, and the same as what the code reads and OpenAI's clients know."""

from collections.abc import Iterator
from typing import get_args

import jsonschema_rs
import numpy as np
import pytest
import schemathesis
from openai.types import Model
from openai.types.audio import (
    Transcription,
    TranscriptionSegment,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranscriptionWord,
    Translation,
)
from openai.types.audio.transcription_create_params import ChunkingStrategyVadConfig, TranscriptionCreateParamsStreaming
from openai.types.audio.translation_create_params import TranslationCreateParams
from openai.types.audio_response_format import AudioResponseFormat
from structlog.testing import capture_logs

from app.domain.audio import MODEL_RATE_HZ
from app.domain.errors import SpeechError
from app.entrypoints.errors import BAD_KEY, row_of
from app.entrypoints.http.form import Form
from app.entrypoints.http.parameters import (
    FORMATS,
    GRANULARITIES,
    LONGEST_KEYWORD,
    MOST_KEYWORDS,
    read_format,
    read_temperature,
    read_transcription,
)
from app.entrypoints.rates import RATE_HEADERS
from app.testing.contracts_audio import wav_bytes

from .openapi import AUDIO, OPERATIONS, SECRETS, TRANSLATIONS, Document, check_events, described
from .service import TRANSCRIPTIONS, Client, send, tone, wav


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with described() as client:
        yield client


@pytest.fixture(scope="module")
def document(client: Client) -> Document:
    found: Document = client.get("/docs/openapi.json").json()
    return found


def form_of(document: Document, path: str) -> Document:
    body: Document = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    return body


def fields_of(document: Document, path: str) -> set[str]:
    return {name.removesuffix("[]") for name in form_of(document, path)["properties"]}


def within(node: object) -> Iterator[Document]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from within(inner)


# The document itself


def test_it_is_a_valid_document(document: Document) -> None:
    schemathesis.openapi.from_dict(document).validate()
    for node in within(document):
        if isinstance(schema := node.get("schema"), dict):
            jsonschema_rs.meta.validate(schema)
        if "$ref" in node:
            prefix, _, name = node["$ref"].rpartition("/")
            assert (prefix, name in document["components"]["schemas"]) == ("#/components/schemas", True), node
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    named = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(named) == len(set(named))


def test_every_operation_is_there_with_its_statuses(document: Document) -> None:
    assert {
        (method.upper(), path): {int(status) for status in operation["responses"]}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    } == OPERATIONS
    assert all(operation["description"] for path in document["paths"].values() for operation in path.values())


def test_every_error_is_the_envelope(document: Document) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    assert set(document["components"]["schemas"]["ErrorDetail"]["properties"]) == {"message", "type", "param", "code"}


def test_every_code_is_told(document: Document) -> None:
    def all_of(kind: type[SpeechError]) -> Iterator[type[SpeechError]]:
        yield kind
        for special in kind.__subclasses__():
            yield from all_of(special)

    rows = [BAD_KEY, *(row_of(kind.__new__(kind)) for kind in all_of(SpeechError))]
    answers = document["paths"][TRANSCRIPTIONS]["post"]["responses"]
    assert {row.status for row in rows} == AUDIO - {200}
    assert [row.code for row in rows if f"`{row.code}`" not in answers[str(row.status)]["description"]] == []


def test_refusals_that_pass_are_described_with_their_headers(document: Document) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            told = {status: set(answer.get("headers", ())) for status, answer in operation["responses"].items()}
            assert told.get("503", {"retry-after"}) == {"retry-after"}, path
            assert told.get("429", {"retry-after", *RATE_HEADERS}) == {"retry-after", *RATE_HEADERS}, path


def test_keys_are_described(document: Document) -> None:
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert document["security"] == [{name: []}, {}]


# Fields


class Noted(Form):
    """An empty form that notes which fields are looked for."""

    def __init__(self) -> None:
        super().__init__({}, None)
        self.read: set[str] = set()

    def text(self, name: str) -> str | None:
        self.read.add(name)
        return super().text(name)

    def texts(self, name: str) -> list[str]:
        self.read.add(name)
        return super().texts(name)

    def members(self, name: str) -> dict[str, str]:
        self.read.add(name)
        return super().members(name)


def test_the_fields_of_a_transcription_are_those_read_and_those_openai_has(document: Document) -> None:
    form = Noted()
    read_transcription(form, languages=("en",))
    ignored = {"prompt", "known_speaker_names", "known_speaker_references"}
    assert fields_of(document, TRANSCRIPTIONS) == form.read | ignored | {"file", "model"}
    assert fields_of(document, TRANSCRIPTIONS) == set(TranscriptionCreateParamsStreaming.__annotations__)


def test_the_fields_of_a_translation_are_those_read_and_those_openai_has(document: Document) -> None:
    form = Noted()
    read_format(form)
    read_temperature(form)
    assert fields_of(document, TRANSLATIONS) == form.read | {"file", "model", "prompt"}
    assert fields_of(document, TRANSLATIONS) == set(TranslationCreateParams.__annotations__)


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "POST" and not path.endswith(SECRETS)])
def test_every_field_is_described_and_only_the_file_is_needed(document: Document, path: str) -> None:
    form = form_of(document, path)
    assert form["required"] == ["file"]
    for name, field in form["properties"].items():
        assert field["description"]
        assert (field.get("type") == "array") == name.endswith("[]")


def test_enums_and_limits_are_those_checked(document: Document) -> None:
    fields = form_of(document, TRANSCRIPTIONS)["properties"]
    assert fields["response_format"]["enum"] == list(FORMATS)
    assert {*FORMATS, "diarized_json"} == set(get_args(AudioResponseFormat))
    assert fields["timestamp_granularities[]"]["items"]["enum"] == list(GRANULARITIES)
    assert fields["include[]"]["items"]["enum"] == ["logprobs", "words", "srt", "vtt"]
    assert (fields["temperature"]["minimum"], fields["temperature"]["maximum"]) == (0, 1)
    assert (fields["keywords[]"]["maxItems"], fields["keywords[]"]["items"]["maxLength"]) == (MOST_KEYWORDS, LONGEST_KEYWORD)
    assert fields["stream"]["type"] == "boolean"


def test_a_chunking_strategy_is_a_word_or_openai_s_object(document: Document) -> None:
    word, reference = form_of(document, TRANSCRIPTIONS)["properties"]["chunking_strategy"]["anyOf"]
    assert word["enum"] == ["auto"]
    rules = document["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    assert set(rules["properties"]) == set(ChunkingStrategyVadConfig.__annotations__)
    assert rules["required"] == ["type"]


# Answers


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (
            "TranscriptionBody",
            Transcription.model_fields.keys() - {"languages"} | {"words", "srt", "vtt"},
        ),  # only gpt-transcribe tells languages
        ("VerboseBody", TranscriptionVerbose.model_fields.keys() | {"task", "chars"}),
        ("VerboseSegment", TranscriptionSegment.model_fields.keys()),
        ("WordTime", TranscriptionWord.model_fields.keys()),
        ("TranslationBody", Translation.model_fields.keys()),
        ("TextDelta", TranscriptionTextDeltaEvent.model_fields.keys() - {"segment_id"} | {"words"}),  # only with speakers
        ("TextDone", TranscriptionTextDoneEvent.model_fields.keys() - {"languages"} | {"words", "srt", "vtt"}),
        ("ModelBody", Model.model_fields.keys() - {"shutdown_date"} | {"demonstration"}),
    ],
)
def test_bodies_have_the_fields_openai_s_have(document: Document, body: str, fields: set[str]) -> None:
    assert set(document["components"]["schemas"][body]["properties"]) == fields


def test_every_media_type_of_an_answer_is_told(document: Document) -> None:
    def kinds(path: str) -> set[str]:
        return set(document["paths"][path]["post"]["responses"]["200"]["content"])

    assert kinds(TRANSLATIONS) == {"application/json", "text/plain", "text/vtt"}
    assert kinds(TRANSCRIPTIONS) == kinds(TRANSLATIONS) | {"text/event-stream"}
    assert kinds("/transcribe") == {"application/json"}


def test_events_are_as_documented_and_so_is_their_failure(client: Client, document: Document) -> None:
    loud = wav_bytes(np.concatenate([tone(12), np.float32(3.6) * tone(3)]), rate_hz=MODEL_RATE_HZ)
    for data in (wav(12.0), loud):
        with capture_logs():
            answer = send(client, data, stream="true", include="logprobs")
        assert ("error" in answer.text) == (data is loud)
        check_events(document, answer)

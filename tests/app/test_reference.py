"""The page that describes the API: all of the document is on it, and nothing that could do anything."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, Final

import pytest

from app.settings import Settings

from .service import serving

TAGS: Final = re.compile(r"<[^>]+>")


def bare(text: str) -> str:
    """Return a text without spaces and the marks of code."""
    return re.sub(r"[\s`]", "", text)


@pytest.fixture(scope="module")
def document_and_page() -> Iterator[tuple[dict[str, Any], str]]:
    with serving(Settings()) as (client, _):
        yield client.get("/docs/openapi.json").json(), client.get("/docs").text


def test_every_operation_field_answer_and_schema_is_told(document_and_page: tuple[dict[str, Any], str]) -> None:
    document, page = document_and_page
    read = bare(unescape(TAGS.sub("", page)))
    told = [f"{method.upper()} {path}" for path, found in document["paths"].items() for method in found]
    for operation in (operation for found in document["paths"].values() for operation in found.values()):
        told += [operation["description"]]
        told += [answer["description"] for answer in operation["responses"].values()]
    for name, schema in document["components"]["schemas"].items():
        told += [name, *schema.get("properties", {})]
    assert len(told) > 200
    assert [part for part in told if bare(part) not in read] == []


def test_the_fields_of_a_form_are_told_with_what_they_may_be(document_and_page: tuple[dict[str, Any], str]) -> None:
    _, page = document_and_page
    rows = {TAGS.sub("", row.partition("</td>")[0]): unescape(TAGS.sub(" ", row)) for row in page.split("<tr>")}
    assert "binary string" in rows["file (required)"]
    assert '"json"' in rows["response_format"]
    assert "default:  false" in rows["stream"]


def test_every_link_leads_to_a_place_on_the_page(document_and_page: tuple[dict[str, Any], str]) -> None:
    _, page = document_and_page
    places = re.findall(r'id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert {target.removeprefix("#") for target in re.findall(r'href="([^"]+)"', page)} <= set(places)


def test_it_holds_no_script_and_loads_nothing(document_and_page: tuple[dict[str, Any], str]) -> None:
    _, page = document_and_page
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|\sstyle=|\son\w+=|javascript:|url\(|@import", page)

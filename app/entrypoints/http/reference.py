"""The API's description as a page to read: made of the OpenAPI document, in one file without a script.

Litestar's own plugins load Swagger UI and its like from another host, and so would run what that host sends. Of the packages that
bring it along, one has a version that knows no OpenAPI 3.1, and the other a script of 3 MB and no licence.
"""

import re
from base64 import b64encode
from collections.abc import Container, Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response
from litestar.openapi.plugins import OpenAPIRenderPlugin

from .answers import refuse_page

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f1e;--muted:#59625f;--line:#dfe3e1;--ground:#fbfbfa;--accent:#0f766e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecea;--muted:#a0aaa7;--line:#323937;--ground:#141716;--accent:#4fd1bf}}
body{max-width:60rem;margin:0 auto;padding:1.5rem 1.25rem 4rem;background:var(--ground);color:var(--ink);
font:1rem/1.5 system-ui,"Liberation Sans",sans-serif}
h2{margin-top:2.5rem}h3{margin-bottom:.25rem}a{color:var(--accent)}
code{font:.9em ui-monospace,"Liberation Mono",monospace;overflow-wrap:anywhere}
section{border-top:1px solid var(--line)}nav ul{padding:0;list-style:none}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th,td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{color:var(--muted);font-weight:normal}
@media(min-width:50rem){td:first-child{white-space:nowrap}}
""".strip()
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFERENCE: Final = "#/components/schemas/"
_BOUNDS: Final = {
    "minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under", "default": "default",
    "minLength": "characters at least", "maxLength": "characters at most", "maxItems": "items at most", "pattern": "pattern",
}  # fmt: skip


class ReferencePage(OpenAPIRenderPlugin):
    """Shows the document at the router's own path."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002  # Litestar's
        """Return the page, the same for every request."""
        return "\n".join(_page(openapi_schema)).encode()


def seal(answer: Response[Any]) -> Response[Any]:
    """Forbid the page whatever it does not need; refuse what Litestar answers for paths below it.

    Raises:
        NotFoundException: There is no such path.
    """
    if refuse_page(answer).media_type == MediaType.HTML:
        answer.headers["content-security-policy"] = _POLICY
    return answer


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    operations = list(_operations(document["paths"]))
    yield from _head(document)
    yield '<nav aria-label="Operations"><ul>'
    for anchor, paths, operation in operations:
        yield f'<li><a href="#{anchor}"><code>{paths[0]}</code></a> {_told(operation).partition(". ")[0]}</li>'
    yield "</ul></nav><h2>Operations</h2>"
    for anchor, paths, operation in operations:
        yield from _section(anchor, " or ".join(f"<code>{path}</code>" for path in paths), _operation(operation))
    yield "<h2>Schemas</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _section(escape(name), f"<code>{escape(name)}</code>", _schema(schema))
    yield "</main></body></html>"


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
    yield f"<body><main><h1>{title}</h1>"
    yield f"<p>Paths are those below <code>{escape(document['servers'][0]['url'])}</code>. For programs the same is at"
    yield "<code>/docs/openapi.json</code>. Live transcription over WebSockets has documents of its own.</p>"
    for scheme in document["components"].get("securitySchemes", {}).values():
        yield f"<p><code>Authorization: Bearer</code>: {_told(scheme)}</p>"


def _section(anchor: str, title: str, content: Iterable[str]) -> Iterator[str]:
    yield f'<section id="{anchor}"><h3>{title}</h3>'
    yield from content
    yield "</section>"


def _operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
    """Yield each operation once: its anchor, all it answers to (`GET /path`), and its description."""
    alike: dict[str, tuple[str, list[str], Mapping[str, Any]]] = {}
    for path, operations in sorted(paths.items(), key=lambda item: not item[0].startswith("/v1/")):
        for method, operation in operations.items():
            told = _json({name: value for name, value in operation.items() if name != "operationId"})
            _, found, _ = alike.setdefault(told, (escape(operation["operationId"]), [], operation))
            found.append(escape(f"{method.upper()} {path}"))
    yield from alike.values()


def _operation(operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{_told(operation)}</p>"
    for parameter in operation.get("parameters", ()):
        yield f"<p><code>{escape(parameter['name'])}</code>, in the {escape(parameter['in'])}: {_kind(parameter['schema'])}</p>"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Send <code>{escape(media_type)}</code></h4>"
        yield from _fields(content["schema"])
    yield "<h4>Answers</h4>"
    yield from _table(("status", "holds", "meaning"), (_answer(*item) for item in operation["responses"].items()))


def _answer(status: str, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    holds = "<br>".join(
        f"<code>{escape(media_type)}</code>: {_kind(content['schema'])}"
        for media_type, content in answer.get("content", {}).items()
    )
    headers = [f"<code>{escape(name)}</code>: {_told(header)}" for name, header in answer.get("headers", {}).items()]
    return escape(status), holds, "<br>".join([_told(answer), *headers])


def _schema(schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{_told(schema)}</p>"
    yield from _fields(schema)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        yield f"<p>{_kind(schema)}</p>"
        return
    yield from _table(
        ("field", "type", "meaning"),
        (_field(name, field, schema.get("required", ())) for name, field in schema["properties"].items()),
    )


def _field(name: str, field: Mapping[str, Any], required: Container[str]) -> tuple[str, str, str]:
    bounds = [f"{told}: {_value(field[bound])}" for bound, told in _BOUNDS.items() if bound in field]
    meaning = " ".join(part for part in (_told(field), f"({'; '.join(bounds)})" * bool(bounds)) if part)
    return f"<code>{escape(name)}</code>{' (required)' if name in required else ''}", _kind(field), meaning


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"<table><thead><tr>{_cells('th', head)}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{_cells('td', row)}</tr>"
    yield "</tbody></table>"


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)


def _kind(schema: Mapping[str, Any]) -> str:
    """Say of what type a value is."""
    if name := schema.get("$ref", "").removeprefix(_REFERENCE):
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "const" in schema or "enum" in schema:
        return " or ".join(_value(choice) for choice in schema.get("enum", [schema.get("const")]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(choice) for choice in choices))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(" ".join(str(schema[part]) for part in ("format", "type") if part in schema)) or "anything"


def _value(value: Any) -> str:
    return f"<code>{escape(_json(value))}</code>"


def _told(of: Mapping[str, Any]) -> str:
    """Return the description, its `code` as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(of.get("description", "")))


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()

"""The page at `/`: files of the package, with what a browser is told about them."""

import hashlib
import mimetypes
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

_PACKAGE: Final = __package__.partition(".")[0]
_FOLDER: Final = "/page"
_INDEX: Final = "index.html"
# Nothing comes from or goes to another host, and no text that was heard can become code.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {  # beside those of every answer
    "cache-control": "no-cache",  # ask each time: an answer of 304 is cheap, and old scripts never meet a new service
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self)",
}


class _Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file; its tag changes with its content."""

    content: bytes
    media_type: str
    etag: str


class Page:
    """The page and the files it needs, read once.

    Attributes:
        paths: All of its paths without a slash at the end. They hold no secret and need no key.
    """

    def __init__(self) -> None:
        package = files(_PACKAGE)
        static = (package / "entrypoints" / "http" / "static").iterdir()
        found = [*(file for file in static if file.is_file()), package / "samples" / "hello.wav"]
        self._assets = {file.name: _asset(file.name, file.read_bytes()) for file in found}
        self.paths = frozenset({"", *(f"{_FOLDER}/{name}" for name in self._assets if name != _INDEX)})

    def handlers(self) -> list[HTTPRouteHandler]:
        """Return what answers for the page."""

        @get("/", include_in_schema=False)
        async def index(request: Request[Any, Any, State]) -> Response[bytes]:
            return _answer(request, self._assets[_INDEX])

        @get(f"{_FOLDER}/{{name:str}}", include_in_schema=False)
        async def asset(request: Request[Any, Any, State], name: FromPath[str]) -> Response[bytes]:
            if name == _INDEX or name not in self._assets:
                raise NotFoundException
            return _answer(request, self._assets[name])

        return [index, asset]


def _asset(name: str, content: bytes) -> _Asset:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "text/javascript" if name.endswith(".js") else kind  # systems differ, and a module of another type does not run
    return _Asset(content=content, media_type=kind, etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(request: Request[Any, Any, State], asset: _Asset) -> Response[bytes]:
    known = request.headers.get("if-none-match", "")
    headers = {**_HEADERS, "etag": asset.etag}
    if known.strip() == "*" or asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(b"", status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)

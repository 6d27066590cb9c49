"""The two ways in which `transcribe` has a file heard: by a model in this process, or by a running service."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Protocol, Self

import msgspec

from ...domain.cancel import CancelToken
from ...domain.errors import CancelledError, SpeechError
from ...domain.ports import Options
from ...domain.transcriber import FileOptions
from ...settings import Settings
from ..embedded import load
from ..http.bodies import Heard
from ..http.parameters import Format, TranscriptionRequest
from ..rendering import rendered
from .address import service_address
from .products import multiply_alone

if TYPE_CHECKING:
    import httpx

_MOST_TRIES: Final = 30  # of a service that is full
_LEAST_WAIT_S, _WAIT_S, _MOST_WAIT_S = 0.25, 1.0, 300.0  # between two of them; the middle one where the service names none
_LEAST_JOBS, _MOST_JOBS = 8, 128
_SHORT_FILE_S: Final = 3.0  # so many of them fill two batches


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of every file."""

    formats: tuple[Format, ...] = ("text",)
    words: bool = False
    keywords: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A heard file: its length, None where a service did not tell, and its text in each format."""

    audio_s: float | None
    bodies: Mapping[Format, bytes]
    truncated: bool = False


class Hearing(Protocol):
    """Hears files on any number of threads."""

    jobs: int  # files at a time that keep it busy
    model: str

    def hear(self, file: BinaryIO, asked: Asked, *, on_heard: Callable[[float], object]) -> Answer: ...
    def stop(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None: ...


class InProcess:
    """A model of our own; nobody else waits for it, so nothing is refused for having to wait."""

    def __init__(self, settings: Settings) -> None:
        multiply_alone()
        self._speech = load(msgspec.structs.replace(settings, max_wait_s=float("inf"), max_waiting_s=float("inf")))
        facts = self._speech.facts
        self.model = facts.model_id
        self.jobs = min(_MOST_JOBS, max(_LEAST_JOBS, round(2 * facts.batch_padded_s / _SHORT_FILE_S)))
        self._language, self._cancel = facts.languages[0], CancelToken()

    def hear(self, file: BinaryIO, asked: Asked, *, on_heard: Callable[[float], object]) -> Answer:
        """Hear one file; `on_heard` is told how many seconds were decoded so far."""
        heard, options = Heard(), FileOptions(recognition=Options(keywords=asked.keywords), voice="verbose_json" in asked.formats)
        for part in self._speech.transcribe(file, options, cancel=self._cancel):
            heard.add(part)
            on_heard(heard.duration_s)
        bodies = {one: _encoded(rendered(heard, _request(one, asked), language=self._language)) for one in asked.formats}
        return Answer(audio_s=heard.duration_s, bodies=bodies, truncated=heard.truncated)

    def stop(self) -> None:
        """Take back what waits; every `hear` ends with `CancelledError`."""
        self._cancel.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._speech.close()


class OverHttp:
    """A running service; one request for each format, as each is rendered there."""

    jobs = 32

    def __init__(self, url: str, *, api_key: str | None) -> None:
        """Ask which model it serves, and so whether it is there and takes the key.

        Raises:
            UsageError: That is no address of a service.
            SpeechError: It cannot be reached, or refuses.
        """
        import httpx

        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        limits, timeout = httpx.Limits(max_connections=self.jobs), httpx.Timeout(30, read=None, pool=None)
        self._client = httpx.Client(base_url=service_address(url), headers=headers, limits=limits, timeout=timeout)
        self._stopped = threading.Event()
        try:
            self.model = _first_model(self._asked(lambda: self._client.get("/v1/models")))
        except BaseException:
            self._client.close()
            raise

    def hear(self, file: BinaryIO, asked: Asked, *, on_heard: Callable[[float], object]) -> Answer:
        """Have one file heard; a service that is full is asked again when it says."""
        bodies = {one: self._body(file, one, asked) for one in asked.formats}
        audio_s = next((told for one, body in bodies.items() if one.endswith("json") and (told := _duration_s(body))), None)
        on_heard(audio_s or 0.0)
        return Answer(audio_s=audio_s, bodies=bodies)

    def stop(self) -> None:
        """Send nothing any more."""
        self._stopped.set()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def _body(self, file: BinaryIO, answer_format: Format, asked: Asked) -> bytes:
        granularities = [*_request(answer_format, asked).granularities] if answer_format == "verbose_json" else []
        fields = {
            "response_format": answer_format,
            "keywords[]": list(asked.keywords),
            "timestamp_granularities[]": granularities,
        }

        def post() -> "httpx.Response":
            file.seek(0)
            return self._client.post("/v1/audio/transcriptions", data=fields, files={"file": ("audio", file)})

        body = self._asked(post)
        return body.rstrip(b"\n") + b"\n" if answer_format.endswith("json") else body

    def _asked(self, ask: Callable[[], "httpx.Response"]) -> bytes:
        """Return the body of an answer; a service that is full, or has no model yet, is asked again when it says."""
        import httpx

        for _ in range(_MOST_TRIES):
            try:
                answer = ask()
            except (httpx.HTTPError, RuntimeError) as fault:  # the latter: of a client that `stop` has closed
                if self._stopped.is_set():
                    raise CancelledError("the request was cancelled") from fault
                raise SpeechError(f"the service cannot be reached: {fault}") from fault
            if answer.status_code not in (429, 503):
                break
            if self._stopped.wait(_wait_s(answer.headers.get("retry-after", ""))):
                raise CancelledError("the request was cancelled")
        if answer.is_success:
            return answer.content
        raise SpeechError(_told(answer.content) or f"the service answered with status {answer.status_code}")


def _request(answer_format: Format, asked: Asked) -> TranscriptionRequest:
    granularities = frozenset({"segment", "word"}) if asked.words else frozenset({"segment"})
    return TranscriptionRequest(answer_format=answer_format, granularities=granularities)


def _encoded(body: msgspec.Struct | str) -> bytes:
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body) + b"\n"


class _Usage(msgspec.Struct):
    seconds: float


class _Counted(msgspec.Struct):
    usage: _Usage


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: Annotated[list[_Model], msgspec.Meta(min_length=1)]


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Error


def _first_model(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Models).data[0].id
    except msgspec.DecodeError as fault:
        raise SpeechError(f"that is no speech-to-text service: its /v1/models names no model ({fault})") from fault


def _duration_s(body: bytes) -> float | None:
    """Return the seconds that were heard; None where an answer does not tell, as others than ours may not."""
    try:
        return msgspec.json.decode(body, type=_Counted).usage.seconds
    except msgspec.DecodeError:
        return None


def _told(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.DecodeError:
        return None


def _wait_s(retry_after: str) -> float:
    """Read a `Retry-After`: seconds, or a date, which proxies write; within bounds, as clocks differ."""
    try:
        if retry_after.strip().isdecimal():
            told_s = float(retry_after)
        else:
            until = parsedate_to_datetime(retry_after)
            told_s = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return _WAIT_S
    return min(max(told_s, _LEAST_WAIT_S), _MOST_WAIT_S)


def hearing(settings: Settings, *, server: str | None, api_key: str | None) -> Hearing:
    """Return the way that was chosen; loading a model takes as long as that takes.

    Raises:
        UsageError: `server` is no address of a service.
        SpeechError: The model cannot be had, or the service not be reached.
    """
    return OverHttp(server, api_key=api_key) if server else InProcess(settings)


def formats_of(listed: str, known: Sequence[Format]) -> tuple[Format, ...]:
    """Read formats separated by commas, each once.

    Raises:
        ValueError: One is not among `known`; it is named.
    """
    asked = [name.strip() for name in listed.split(",") if name.strip()]
    if wrong := [name for name in asked if name not in known]:
        raise ValueError(f"there is no format {wrong[0]}; choose from {', '.join(known)}")
    return tuple(one for one in known if one in asked)

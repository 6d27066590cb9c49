"""The two ways in which `transcribe` has a file heard: by a model in this process, or by a running service."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

import msgspec

from ...domain.cancel import CancelToken
from ...domain.errors import AudioRejectedError, CancelledError, SpeechError
from ...domain.ports import Options
from ...domain.transcriber import FileOptions
from ...settings import Settings
from ..embedded import load
from ..http.bodies import Heard
from ..http.parameters import Format, TranscriptionRequest
from ..rendering import rendered

_MOST_TRIES: Final = 30  # of a service that is full
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
    model = "whisper-1"

    def __init__(self, url: str, *, api_key: str | None) -> None:
        import httpx

        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=self.jobs)
        base = url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=base, headers=headers, limits=limits, timeout=httpx.Timeout(30, read=None, pool=None))
        self._stopped = threading.Event()

    def hear(self, file: BinaryIO, asked: Asked, *, on_heard: Callable[[float], object]) -> Answer:
        """Have one file heard; a service that is full is asked again when it says."""
        bodies = {one: self._body(file, one, asked) for one in asked.formats}
        audio_s = next((_duration_s(body) for one, body in bodies.items() if one.endswith("json")), None)
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
        import httpx

        granularities = [*_request(answer_format, asked).granularities] if answer_format == "verbose_json" else []
        fields = {
            "response_format": answer_format,
            "keywords[]": list(asked.keywords),
            "timestamp_granularities[]": granularities,
        }
        for _ in range(_MOST_TRIES):
            file.seek(0)
            try:
                answer = self._client.post("/v1/audio/transcriptions", data=fields, files={"file": ("audio", file)})
            except (httpx.HTTPError, RuntimeError) as fault:  # the latter: of a client that `stop` has closed
                if self._stopped.is_set():
                    raise CancelledError("the request was cancelled") from fault
                raise SpeechError(f"the service cannot be reached: {fault}") from fault
            if answer.status_code not in (429, 503):
                break
            if self._stopped.wait(float(answer.headers.get("retry-after", 1))):
                raise CancelledError("the request was cancelled")
        if answer.is_success:
            return answer.content.rstrip(b"\n") + b"\n" if answer_format.endswith("json") else answer.content
        raise AudioRejectedError(_told(answer.content) or f"the service answered {answer.status_code}")


def _request(answer_format: Format, asked: Asked) -> TranscriptionRequest:
    granularities = frozenset({"segment", "word"}) if asked.words else frozenset({"segment"})
    return TranscriptionRequest(answer_format=answer_format, granularities=granularities)


def _encoded(body: msgspec.Struct | str) -> bytes:
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body) + b"\n"


class _Usage(msgspec.Struct):
    seconds: float


class _Counted(msgspec.Struct):
    usage: _Usage


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Error


def _duration_s(body: bytes) -> float:
    return msgspec.json.decode(body, type=_Counted).usage.seconds


def _told(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.DecodeError:
        return None


def hearing(settings: Settings, *, server: str | None, api_key: str | None) -> Hearing:
    """Return the way that was chosen; loading a model takes as long as that takes.

    Raises:
        ModelUnavailableError: The model cannot be had.
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

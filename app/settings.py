"""Every setting, and where its value comes from: flags over environment over a TOML file over the default here."""

import difflib
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

PREFIX: Final = "STT_"
CONFIG_FILE: Final = f"{PREFIX}CONFIG_FILE"  # the one variable that is no setting: where the TOML file lies


class SettingsError(Exception):
    """Settings that cannot be used; the text has one line for each fault."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may choose. The help of each field is also the help of its flag and its line in the docs."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535, description="TCP port to listen on.")] = 8000
    tls_cert: Annotated[
        str, Meta(description="File (PEM) with the certificate and its chain; with `tls_key`: only TLS is spoken.")
    ] = ""
    tls_key: Annotated[str, Meta(description="File (PEM, without a password) with the certificate's private key.")] = ""
    hsts_s: Annotated[
        int,
        Meta(
            ge=0, le=63_072_000,
            description="With `tls_cert`: how many seconds long browsers shall reach this host, on any port, by https alone; 0:"
            " they are told nothing of it.",
        ),
    ] = 86_400  # fmt: skip
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses and networks (`10.0.0.0/8`), separated by commas, of proxies whose `X-Forwarded-For` and"
            " `X-Forwarded-Proto` are believed.",
            extra={"each": ip_network},
        ),
    ] = ()
    path_prefix: Annotated[
        str,
        Meta(
            pattern=r"^(/[A-Za-z0-9._~-]+)*\Z",
            description="Path (`/speech`) below which a proxy shows the service; it answers with and without it.",
        ),
    ] = ""
    api_keys: Annotated[
        # What a header and a list can carry, ASCII without spaces and commas; and nothing that is nearly an entry.
        tuple[
            Annotated[
                str,
                Meta(pattern=r"^((?!.*:sha256:)[!-+\--~]+|[A-Za-z0-9][A-Za-z0-9._-]{0,63}:sha256:[0-9a-fA-F]{64})\Z"),
            ],
            ...,
        ],
        Meta(
            description="Keys, separated by commas, each itself or as `name:sha256:<hex>`; a request must bring one as"
            " `Authorization: Bearer`. None: all may come in.",
            extra={"secret": True},
        ),
    ] = ()
    api_keys_file: Annotated[
        str, Meta(description="File with a line `name:sha256:<hex>` for each further key; read again when it changes.")
    ] = ""
    requests_per_minute: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Requests that one key (or address, without keys) may send in a minute; 0: no limit."),
    ] = 0
    audio_s_per_minute: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Audio seconds that one key (or address) may have heard in a minute; 0: no limit."),
    ] = 0
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+)\Z")], ...],
        Meta(
            description="Origins (`https://app.example`), separated by commas, whose pages may use the service, by HTTP and by"
            " WebSocket; `*`: all."
        ),
    ] = ()
    page: Annotated[bool, Meta(description="Show the page at `/`; it needs no key, what it asks for does.")] = True
    model: Annotated[
        str,
        Meta(min_length=1, description="`bundled`, the path of a .nemo file, or a hub id."),
    ] = "nvidia/parakeet-tdt-0.6b-v2"
    recognizer: Annotated[
        str,
        Meta(
            pattern=r"^(nemo|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)\Z",
            description="`nemo`, or `module:factory` of a recogniser of another make.",
        ),
    ] = "nemo"
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)\Z", description="`auto`, `cpu`, `cuda` or `cuda:N`.")] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Meta(description="Of the model's weights: `auto`, `float32`, `bfloat16` or `float16`."),
    ] = "auto"
    model_aliases: Annotated[tuple[str, ...], Meta(description="Further names the model answers to, separated by commas.")] = (
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-transcribe",
    )
    max_upload_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest upload, in MB (1,000,000 bytes).")] = 512
    max_audio_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Longest audio of one file, in seconds, counted while decoding.")
    ] = 14_400.0
    decode_processes: Annotated[
        int, Meta(ge=1, le=256, description="Processes that decode uploads; never more than there are cores.")
    ] = 4
    decode_memory_mib: Annotated[
        int,
        Meta(ge=64, le=65_536, description="Memory, in MiB, that decoding may take in one process; what needs more is refused."),
    ] = 256
    decode_stall_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="A decoder that says nothing for this long, in seconds, is ended and its file refused."),
    ] = 20.0
    single_pass_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="Up to this length, in seconds, a file goes to the model whole (less if the model says so)."
        ),
    ] = 60.0
    window_s: Annotated[float, Meta(ge=5, le=3600, description="Longest stretch, in seconds, that a longer file is cut into.")] = (
        30.0
    )
    max_waiting_s: Annotated[
        float, Meta(ge=1, description="Audio seconds that may wait for the model; more is refused with 503.")
    ] = 7_200.0
    max_wait_s: Annotated[
        float,
        Meta(
            gt=0, description="Longest time, in seconds, that a file may wait for the model by its measured pace; then 503 at once."
        ),
    ] = 30.0
    linger_ms: Annotated[
        float,
        Meta(ge=0, le=1000, description="How long, in milliseconds, an idle model waits for as many clips as its last batch held."),
    ] = 4.0
    file_patience_s: Annotated[
        float, Meta(ge=0, description="After waiting this long, in seconds, files take turns with live sessions at the model.")
    ] = 2.0
    file_run_ms: Annotated[
        float,
        Meta(
            ge=1, le=60_000,
            description="Longest batch of files, in milliseconds of measured model time, while a live session is open.",
        ),
    ] = 300.0  # fmt: skip
    deadline_s: Annotated[
        float,
        Meta(gt=0, le=604_800, description="Longest time, in seconds, from the end of an upload to its answer; then 503."),
    ] = 3_600.0
    max_requests: Annotated[
        int, Meta(ge=1, le=1024, description="Transcriptions under way at a time; further ones are refused with 503.")
    ] = 256
    max_connections: Annotated[
        int, Meta(ge=1, le=65_536, description="Connections served at a time, where open files suffice; further ones wait.")
    ] = 1024
    connection_idle_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="A connection that brings no whole request head for this long, in seconds, is closed."),
    ] = 75.0
    upload_idle_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="An upload of which nothing comes for this long, in seconds, is given up with 408."),
    ] = 30.0
    upload_least_kb_s: Annotated[
        float, Meta(gt=0, description="Slowest rate of an upload, in kB (1,000 bytes) per second from its beginning on; then 408.")
    ] = 4.0
    stall_s: Annotated[
        float,
        Meta(
            ge=1, le=86_400, description="A client that takes in nothing of what it is sent for this long, in seconds, is cut off."
        ),
    ] = 30.0
    stuck_s: Annotated[
        float,
        Meta(ge=1, description="A batch that runs for this long, in seconds, is taken for a lost model: the process is replaced."),
    ] = 600.0
    drain_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Seconds to finish what is under way after SIGTERM; grant 15 more before a SIGKILL."),
    ] = 30.0
    max_live_sessions: Annotated[
        int, Meta(ge=1, le=4096, description="Live sessions open at a time; further ones are refused.")
    ] = 32
    live_backlog_s: Annotated[
        float,
        Meta(ge=1, description="Audio seconds that one live session may leave waiting for the model; beyond that it is closed."),
    ] = 600.0
    live_utterance_s: Annotated[
        float,
        Meta(
            ge=5, le=3600,
            description="Longest utterance of a live session, in seconds (less if the model says so); longer speech is cut.",
        ),
    ] = 30.0  # fmt: skip
    live_idle_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="A live session whose client sends nothing for this long, in seconds, is closed."),
    ] = 300.0
    realtime_session_s: Annotated[
        float, Meta(ge=1, le=604_800, description="Longest realtime session, in seconds; then it is closed.")
    ] = 3_600.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least serious event that is logged.")] = (
        "info"
    )
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="`json`, `console`, or `auto`: readable on a terminal, JSON elsewhere."),
    ] = "auto"

    traces_endpoint: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[!-~]+)?\Z",
            description="URL of an OTLP collector (`http://collector:4318/v1/traces`) that traces go to; needs the extra `otel`.",
        ),
    ] = ""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what may be shown: of a secret only how many parts it has."""
        shown = {name: getattr(self, name) for name in fields()}
        return [(name, f"{len(value)} hidden" if is_secret(fields()[name]) else value) for name, value in shown.items()]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, and for each that was given where: a flag, a variable, or a name in the file. The others are defaults."""

    settings: Settings
    sources: Mapping[str, str]


def read_settings(environment: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Put the settings together, as `find_settings` does."""
    return find_settings(environment, flags).settings


def find_settings(environment: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Found:
    """Put the settings together.

    Args:
        environment: Variables `STT_<FIELD>`; others are not looked at. `STT_CONFIG_FILE` names a TOML file, `field = value`.
        flags: Field name to value; None means not given.

    Raises:
        SettingsError: Names every unknown name, with the nearest known one, and every value out of its range, all at once.
    """
    faults: list[str] = []
    given: dict[str, tuple[str, Any]] = {}  # field -> (what to call the source, value)
    for field, value in _file(environment.get(CONFIG_FILE), faults).items():
        given[field] = (f"{field} in {environment[CONFIG_FILE]}", value)
    for name, value in environment.items():
        if name.startswith(PREFIX) and name != CONFIG_FILE:
            given[name.removeprefix(PREFIX).lower()] = (name, value)
    for field, value in (flags or {}).items():
        if value is not None:
            given[field] = (f"--{field.replace('_', '-')}", value)

    known = fields()
    values: dict[str, Any] = {}
    for field, (source, value) in given.items():
        if field not in known:
            nearest = difflib.get_close_matches(field, known, n=1)
            shown = PREFIX + nearest[0].upper() if nearest and source.startswith(PREFIX) else nearest[0] if nearest else ""
            faults.append(f"{source}: no such setting" + (f"; did you mean {shown}?" if shown else ""))
            continue
        try:
            values[field] = _converted(known[field], value)
        except (msgspec.ValidationError, ValueError) as fault:
            faults.append(f"{source}: {fault}" + ("" if is_secret(known[field]) else f", got {value!r}"))
    if bool(values.get("tls_cert")) != bool(values.get("tls_key")):
        faults.append("tls_cert, tls_key: TLS needs both, or neither")
    if faults:
        raise SettingsError("\n".join(faults))
    return Found(settings=Settings(**values), sources={field: given[field][0] for field in values})


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables from which `read_settings` makes the same settings again, to hand them to another process."""
    values = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    return {PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}


def fields() -> dict[str, FieldInfo]:
    """Return every setting by its name."""
    return {field.name: field for field in msgspec.structs.fields(Settings)}


def help_of(field: FieldInfo) -> str:
    """Return the one sentence that describes a setting."""
    return next(meta.description for meta in get_args(field.type)[1:] if isinstance(meta, Meta) and meta.description)


def range_of(field: FieldInfo) -> str:
    """Return what values a setting may have, in words; empty where its type says all."""
    kind = get_args(field.type)[0]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    meta = next(meta for meta in get_args(field.type)[1:] if isinstance(meta, Meta))
    least = f"over {meta.gt:,}" if meta.gt is not None else "" if meta.ge is None else f"{meta.ge:,}"
    if meta.le is None:
        return least if meta.gt is not None or not least else f"at least {least}"
    return f"{least} to {meta.le:,}"


def is_secret(field: FieldInfo) -> bool:
    """Tell whether the value must never be shown."""
    return bool(_extra(field).get("secret", False))


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return next((meta.extra for meta in get_args(field.type)[1:] if isinstance(meta, Meta) and meta.extra), {})


def _converted(field: FieldInfo, value: Any) -> Any:
    """Return the value as the setting has it.

    Raises:
        msgspec.ValidationError, ValueError: It is none.
    """
    converted = msgspec.convert(_plain(field, value), field.type, strict=False)
    if read := _extra(field).get("each"):
        for part in converted:
            read(part)
    return converted


def _plain(field: FieldInfo, value: Any) -> Any:
    """Leave out the spaces around a text, and take a list apart that came as one."""
    if not isinstance(value, str):
        return value
    if not isinstance(field.default, tuple):
        return value.strip()
    parts = [part.strip() for part in value.split(",")]
    if is_secret(field) and value.strip():
        return parts  # with the empty ones, which are faults: half a list of keys is no list to rely on
    return [part for part in parts if part]


def _file(path: str | None, faults: list[str]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        faults.append(f"{CONFIG_FILE}: {path} cannot be read: {fault}")
        return {}

"""Every setting: its unit, range, default and help. Where its value comes from is in `setting_sources.py`."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo


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
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|(cpu|cuda(:\d+)?)(,(cpu|cuda(:\d+)?))*)\Z",
            description="`auto`, `cpu`, `cuda` or `cuda:N`; several, separated by commas, run a model each, in this process.",
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Meta(description="Of the model's weights: `auto`, `float32`, `bfloat16` or `float16`."),
    ] = "auto"
    replicas: Annotated[
        int,
        Meta(
            ge=0, le=1024,
            description="Replicas of the model on a Ray cluster, which batches go to; 0: the model is in this process. Needs the"
            " extra `ray`.",
        ),
    ] = 0  # fmt: skip
    min_replicas: Annotated[
        int,
        Meta(
            ge=0, le=1024,
            description="Fewest replicas, where they come and go with the seconds of audio that wait; 0: always `replicas`.",
        ),
    ] = 0  # fmt: skip
    replica_audio_s: Annotated[
        float, Meta(gt=0, le=1_000_000, description="Seconds of waiting audio for each replica; with more, another is started.")
    ] = 120.0
    replica_idle_s: Annotated[
        float, Meta(gt=0, le=86_400, description="For how long, in seconds, fewer replicas must have been enough before one ends.")
    ] = 120.0
    ray_address: Annotated[
        str,
        Meta(
            pattern=r"^(auto|[A-Za-z0-9._-]+:\d{1,5})\Z",
            description="Head of the Ray cluster (`host:port`), or `auto`; this machine must be part of the cluster either way.",
        ),
    ] = "auto"
    replica_cpus: Annotated[float, Meta(ge=0, le=1024, description="CPU cores of each replica.")] = 1.0
    replica_gpus: Annotated[
        float, Meta(ge=0, le=64, description="GPUs of each replica; 0.5: two replicas share one, 0: it runs on CPU cores.")
    ] = 0.0
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
        Meta(gt=0, le=86_400, description="An upload that brings nothing for so many seconds, or up to a quarter more, gets 408."),
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
    return bool(extra_of(field).get("secret", False))


def extra_of(field: FieldInfo) -> Mapping[str, Any]:
    """Return what is to be known of a setting beyond its type: `secret`, and `each`, which reads every part of a list."""
    return next((meta.extra for meta in get_args(field.type)[1:] if isinstance(meta, Meta) and meta.extra), {})

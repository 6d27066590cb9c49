"""The one place that knows both sides: which adapter fills which port."""

import gc
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from importlib import import_module
from operator import attrgetter
from time import monotonic
from typing import Any, Final

import msgspec
import structlog
from dependency_injector import containers, providers

from .adapters.nemo.catalog import cache_entry, cached_entries, entry_of
from .adapters.nemo.cpu import share_one_arena
from .adapters.nemo.device import describe_device
from .adapters.nemo.recognizer import NemoRecognizer
from .adapters.processes.confinement import landlock_version
from .adapters.processes.normalizer import ProcessNormalizer
from .adapters.ray.cluster import Plan, RayCluster, application
from .adapters.ray.recognizer import RayRecognizer
from .adapters.several.recognizer import SeveralRecognizers
from .adapters.silero.detector import SileroVoiceDetector
from .adapters.torchaudio.normalizer import TorchaudioNormalizer
from .adapters.torchaudio.versions import ffmpeg_version
from .domain.batching import BatchRules
from .domain.catalog import DeviceEntry, ModelEntry
from .domain.engine import Engine
from .domain.errors import ModelUnavailableError, SpeechError
from .domain.ports import AudioNormalizer, DecodeLimits, Recognizer, VoiceDetector
from .domain.transcriber import Transcriber, TranscriberRules
from .setting_sources import environment_of, read_settings
from .settings import Settings

__all__ = [
    "Container",
    "cache_entry",
    "configured_model",
    "device_entries",
    "embedded",
    "ffmpeg_version",
    "known_models",
    "landlock_version",
    "replica_application",
    "replica_cluster",
    "replica_plan",
    "replica_recognizer",
    "share_one_arena",
]

log = structlog.stdlib.get_logger()

_OF_REPLICAS: Final = ("STT_MODEL", "STT_RECOGNIZER", "STT_DEVICE", "STT_PRECISION")  # no secret leaves for other machines
_PORT: Final = ("facts", "configuration", "device_memory", "recognize")  # what a `Recognizer` has


def _load_all(container: "Container") -> Recognizer:
    """Load everything that takes seconds, on the engine's thread, so that no request pays for it."""
    normalizer = container.normalizer()  # first: its processes get ready beside all that follows
    container.detector()
    recognizer = container.recognizer()
    if isinstance(normalizer, ProcessNormalizer):
        normalizer.wait_until_ready()
    if container.own_process():
        _keep_what_is_loaded()
    return recognizer


def _decode_processes(parts: ExitStack, settings: Settings) -> ProcessNormalizer:
    """Start decoding in processes, which end when `parts` is closed."""
    normalizer = ProcessNormalizer(
        TorchaudioNormalizer(),
        processes=settings.decode_processes,
        memory_bytes=settings.decode_memory_mib * 2**20,
        stall_s=settings.decode_stall_s,
        on_trouble=_log_trouble,
    )
    return parts.enter_context(closing(normalizer))


def _decodes(normalizer: AudioNormalizer) -> bool:
    return not isinstance(normalizer, ProcessNormalizer) or normalizer.can_decode


def _recognizer(parts: ExitStack, settings: Settings, container: "Container") -> Recognizer:
    """Build the recogniser that the settings name, or find its replicas, which are left when `parts` is closed."""
    if not settings.replicas:
        return _local_recognizer(settings)
    recognizer = RayRecognizer(
        RayCluster(settings.ray_address),
        replicas=settings.replicas,
        patience_s=settings.max_wait_s,
        waiting_s=lambda: container.engine().queue.audio_s,
        on_progress=_log_progress,
        on_trouble=_log_trouble,
    )
    return parts.enter_context(closing(recognizer))


def replica_plan(settings: Settings) -> Plan:
    """Return what the replicas of `settings` are."""
    environment = environment_of(settings)
    return Plan(
        factory=f"{__name__}:{replica_recognizer.__name__}",
        environment={name: environment[name] for name in _OF_REPLICAS},
        replicas=max(1, settings.replicas),
        least_replicas=min(settings.min_replicas, settings.replicas) or max(1, settings.replicas),
        replica_audio_s=settings.replica_audio_s,
        idle_s=settings.replica_idle_s,
        cpus=settings.replica_cpus,
        gpus=settings.replica_gpus,
        stuck_s=settings.stuck_s,
        drain_s=settings.drain_s,
    )


def replica_cluster(settings: Settings) -> RayCluster:
    """Return the cluster of `settings`, to start replicas on, count or end them."""
    return RayCluster(settings.ray_address)


def replica_application(environment: Mapping[str, str]) -> Any:
    """Return what Ray Serve is to run for settings given as variables.

    Ray Serve's own configurations name it: `import_path: parakeet_stt.container:replica_application`, with the variables as `args`.
    """
    return application(replica_plan(read_settings(environment)))


def replica_recognizer(environment: Mapping[str, str]) -> Recognizer:
    """Build the recogniser of a replica; called there, by the name that `replica_plan` gives it."""
    recognizer = _local_recognizer(read_settings(environment))
    _keep_what_is_loaded()
    return recognizer


def _keep_what_is_loaded() -> None:
    """Have Python's collector of garbage pass over all that there is now; for a process that is ours alone, its model loaded.

    PyTorch and NeMo leave 700,000 objects, which nobody gives up. To look them all through, as happens whenever many new ones have
    lasted, stops every thread for 0.6 s (2026-11, two virtual cores).
    """
    gc.collect()
    gc.freeze()


def _local_recognizer(settings: Settings) -> Recognizer:
    """Build the recogniser that runs in this process; of several, one for each device.

    Raises:
        ModelUnavailableError: There is no such model or factory, or what the factory made is no recogniser.
    """
    if len(parts := _by_device(settings)) > 1:
        return SeveralRecognizers([_local_recognizer(part) for part in parts])
    if settings.recognizer == "nemo":
        return NemoRecognizer(
            model=settings.model, device=settings.device, precision=settings.precision, step_back=True, on_progress=_log_progress
        )
    made = _factory(settings.recognizer)(settings)
    if missing := [name for name in _PORT if not hasattr(made, name)]:
        told = f"STT_RECOGNIZER={settings.recognizer} made a {type(made).__name__}, which has no {', '.join(missing)}"
        raise ModelUnavailableError(f"{told}: it is no `Recognizer` (docs/embedding.md)")
    recognizer: Recognizer = made
    return recognizer


def _by_device(settings: Settings) -> list[Settings]:
    return [msgspec.structs.replace(settings, device=device) for device in settings.device.split(",")]


def _factory(place: str) -> Callable[[Settings], Any]:
    module, _, name = place.partition(":")
    try:
        found: Callable[[Settings], Any] = attrgetter(name)(import_module(module))
    except (ImportError, AttributeError) as fault:
        raise ModelUnavailableError(f"STT_RECOGNIZER={place} cannot be imported: {fault}") from fault
    if not callable(found):
        raise ModelUnavailableError(f"STT_RECOGNIZER={place} names nothing that can be called; it must be a factory")
    return found


def _batch_rules(settings: Settings) -> BatchRules:
    return BatchRules(
        linger_s=settings.linger_ms / 1000,
        file_patience_s=settings.file_patience_s,
        file_run_s=settings.file_run_ms / 1000,
    )


def _transcriber_rules(settings: Settings) -> TranscriberRules:
    return TranscriberRules(
        single_pass_s=settings.single_pass_s,
        window_s=settings.window_s,
        limits=DecodeLimits(max_duration_s=settings.max_audio_s),
    )


def _log_progress(event: str, **facts: str | float) -> None:
    log.info(event, **facts)


def _log_trouble(event: str, **facts: str | float) -> None:
    log.warning(event, **facts)


def _log_failure(failure: BaseException) -> None:
    if isinstance(failure, SpeechError):
        log.error("engine_failed", reason=str(failure))  # its text says all; a traceback would bury it
    else:
        log.error("engine_failed", exc_info=failure)


class Container(containers.DeclarativeContainer):
    """`Container(settings=read_settings(...))`. Tests override one provider and patch nothing.

    Whoever used it closes `parts()`: some of what it built must be ended. `own_process=True` is for a process in which nothing
    but the service runs.
    """

    __self__ = providers.Self()

    settings = providers.Dependency(instance_of=Settings)
    own_process: providers.Provider[bool] = providers.Object(False)
    parts: providers.Provider[ExitStack] = providers.ThreadSafeSingleton(ExitStack)
    detector: providers.Provider[VoiceDetector] = providers.ThreadSafeSingleton(SileroVoiceDetector)
    normalizer: providers.Provider[AudioNormalizer] = providers.ThreadSafeSingleton(
        _decode_processes, parts=parts, settings=settings
    )
    decodes: providers.Provider[bool] = providers.Callable(_decodes, normalizer)  # whether files can be decoded at this moment
    recognizer: providers.Provider[Recognizer] = providers.ThreadSafeSingleton(_recognizer, parts, settings, __self__)
    engine: providers.Provider[Engine] = providers.ThreadSafeSingleton(
        Engine,
        load=providers.Callable(_load_all, __self__).provider,
        now_s=monotonic,
        max_waiting_s=settings.provided.max_waiting_s,
        max_wait_s=settings.provided.max_wait_s,
        rules=providers.Callable(_batch_rules, settings),
        on_failure=_log_failure,
    )
    transcriber: providers.Provider[Transcriber] = providers.ThreadSafeSingleton(
        Transcriber, normalizer=normalizer, detector=detector, engine=engine, rules=providers.Callable(_transcriber_rules, settings)
    )


def embedded(settings: Settings) -> Container:
    """Return a container for a process of somebody else's: files are decoded in it, on the thread that asks."""
    container = Container(settings=settings)
    container.normalizer.override(providers.ThreadSafeSingleton(TorchaudioNormalizer))
    return container


def configured_model(settings: Settings, *, check: bool = False) -> ModelEntry:
    """Tell of the model that the settings name; with `check` a file of the hub's is read to the end, and compared with its hash.

    Raises:
        ModuleNotFoundError: The extra `nemo` is not installed, and the hub's cache is its matter.
    """
    if settings.recognizer == "nemo":
        return entry_of(settings.model, check=check)
    name = f"STT_RECOGNIZER={settings.recognizer}"
    try:
        _factory(settings.recognizer)
    except ModelUnavailableError as fault:
        return ModelEntry(model=name, place="nowhere", fault=str(fault))
    return ModelEntry(model=name, place="other")


def known_models(settings: Settings) -> list[ModelEntry]:
    """Tell what could be served: what is configured first, then what the package and the hub's cache hold besides.

    Raises:
        ModuleNotFoundError: As `configured_model`.
    """
    configured = configured_model(settings)
    others = (entry_of("bundled"), *cached_entries())
    return [configured, *(entry for entry in others if entry.model != configured.model)]


def device_entries(settings: Settings) -> list[DeviceEntry]:
    """Tell what the built-in recogniser would run on, device by device.

    Raises:
        ModelUnavailableError: There is no such device, or no such precision on it.
    """
    return [describe_device(part.device, part.precision) for part in _by_device(settings)]

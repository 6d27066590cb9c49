"""The one place that knows both sides: which adapter fills which port."""

from contextlib import ExitStack, closing
from time import monotonic

import structlog
from dependency_injector import containers, providers

from .adapters.nemo.recognizer import NemoRecognizer
from .adapters.processes.normalizer import ProcessNormalizer
from .adapters.silero.detector import SileroVoiceDetector
from .adapters.torchaudio.normalizer import TorchaudioNormalizer
from .domain.batching import BatchRules
from .domain.engine import Engine
from .domain.errors import SpeechError
from .domain.ports import AudioNormalizer, DecodeLimits, Recognizer, VoiceDetector
from .domain.transcriber import Transcriber, TranscriberRules
from .settings import Settings

log = structlog.stdlib.get_logger()


def _load_all(container: "Container") -> Recognizer:
    """Load everything that takes seconds, on the engine's thread, so that no request pays for it."""
    normalizer = container.normalizer()  # first: its processes get ready beside all that follows
    container.detector()
    recognizer = container.recognizer()
    if isinstance(normalizer, ProcessNormalizer):
        normalizer.check()
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

    Whoever used it closes `parts()`: some of what it built must be ended.
    """

    __self__ = providers.Self()

    settings = providers.Dependency(instance_of=Settings)
    parts: providers.Provider[ExitStack] = providers.ThreadSafeSingleton(ExitStack)
    detector: providers.Provider[VoiceDetector] = providers.ThreadSafeSingleton(SileroVoiceDetector)
    normalizer: providers.Provider[AudioNormalizer] = providers.ThreadSafeSingleton(
        _decode_processes, parts=parts, settings=settings
    )
    recognizer: providers.Provider[Recognizer] = providers.ThreadSafeSingleton(
        NemoRecognizer,
        model=settings.provided.model,
        device=settings.provided.device,
        precision=settings.provided.precision,
        on_progress=_log_progress,
    )
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

"""The one place that knows both sides: which adapter fills which port."""

from time import monotonic

import structlog
from dependency_injector import containers, providers

from .adapters.nemo.recognizer import NemoRecognizer
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
    container.detector()
    container.normalizer()
    return container.recognizer()


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


def _log_failure(failure: BaseException) -> None:
    if isinstance(failure, SpeechError):
        log.error("engine_failed", reason=str(failure))  # its text says all; a traceback would bury it
    else:
        log.error("engine_failed", exc_info=failure)


class Container(containers.DeclarativeContainer):
    """`Container(settings=read_settings(...))`. Tests override one provider and patch nothing."""

    __self__ = providers.Self()

    settings = providers.Dependency(instance_of=Settings)
    detector: providers.Provider[VoiceDetector] = providers.ThreadSafeSingleton(SileroVoiceDetector)
    normalizer: providers.Provider[AudioNormalizer] = providers.ThreadSafeSingleton(TorchaudioNormalizer)
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

"""How an update changes what a realtime session is set to: merged member by member, checked whole, in both dialects."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...domain.engine import Engine
from ...domain.errors import InvalidRequestError
from ...settings import Settings
from ..http.parameters import check_language, checked_keywords
from ..http.service import served_names
from .realtime_session import (
    ALaw,
    Audio,
    MuLaw,
    NoiseReduction,
    Pcm,
    SemanticVad,
    ServerVad,
    SessionConfig,
    Transcription,
)

Json = dict[str, Any]

_REALTIME_NAMES: Final = re.compile(r"(?a)gpt-(4o-(mini-)?)?(realtime|live)(-[\w.-]+)?")  # that the hosted API has on realtime
_MAY_BE_OFF: Final = frozenset({"transcription", "turn_detection", "noise_reduction"})  # by null
_BETA_FORMATS: Final = {"pcm16": Pcm(), "g711_ulaw": MuLaw(), "g711_alaw": ALaw()}
_BETA_NAMES: Final = {
    "input_audio_transcription": "transcription",
    "turn_detection": "turn_detection",
    "input_audio_noise_reduction": "noise_reduction",
}
_BETA_UNUSED: Final = frozenset({"modalities", "client_secret"})  # the one is about responses, the other about REST
_DEFAULTS: Final[Json] = msgspec.to_builtins(SessionConfig())
_SWITCHED_ON: Final[Mapping[str, Json]] = {  # what an update of something that is off changes
    "transcription": msgspec.to_builtins(Transcription()),
    "turn_detection": msgspec.to_builtins(ServerVad()),
    "noise_reduction": msgspec.to_builtins(NoiseReduction()),
}
_OF_TYPE: Final[Mapping[str, Mapping[str, Json]]] = {
    "turn_detection": {kind["type"]: kind for kind in (msgspec.to_builtins(one) for one in (ServerVad(), SemanticVad()))},
    "format": {kind["type"]: kind for kind in (msgspec.to_builtins(one) for one in (Pcm(), MuLaw(), ALaw()))},
}


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What this service offers: every name of its model, its id first, and the languages it speaks."""

    names: tuple[str, ...]
    languages: tuple[str, ...]

    def offers(self, model: str) -> bool:
        """Tell whether a name is the model's; on realtime it has those too that the hosted API's realtime models have."""
        return model in self.names or bool(_REALTIME_NAMES.fullmatch(model))


class RefusedEventError(Exception):
    """What a client sent is refused, and nothing of it was done.

    Attributes:
        param: The member that is wrong.
        event_id: The client's own name for what it sent.
    """

    def __init__(self, message: str, *, code: str = "invalid_value", param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param, self.event_id = code, param, event_id


def served_by(engine: Engine, settings: Settings) -> Served:
    """Return what a session may ask for.

    Raises:
        ModelNotReadyError: No model is loaded.
    """
    return Served(names=served_names(engine, settings), languages=engine.recognizer().facts.languages)


def first_config(served: Served, model: str = "") -> SessionConfig:
    """Return what holds before any update.

    Args:
        model: What the client asked for when it connected. A name that is a conversation's stands for the served model.
    """
    listed = model if model in served.names else served.names[0]
    return updated_config(SessionConfig(), {"audio": {"input": {"transcription": {"model": listed}}}}, served)


def updated_config(current: SessionConfig, update: object, served: Served) -> SessionConfig:
    """Return `current` with what `update` has.

    Members that are not in it stay; null switches off what may be off, and else brings back the default; a turn detection or
    a format of another type begins with that type's defaults.

    Raises:
        RefusedEventError: A member is unknown, or a value is none that it may have.
    """
    if not isinstance(update, dict):
        raise RefusedEventError("`session` must be an object", param="session")
    merged = _merged(msgspec.to_builtins(current), update, _DEFAULTS, "session")
    try:
        return _checked(msgspec.convert(merged, SessionConfig), served)
    except msgspec.ValidationError as fault:
        told, _, path = str(fault).partition(" - at `$")
        param = "session" + re.sub(r"\[[^]]*\]", "", path.rstrip("`"))
        raise RefusedEventError(f"`{param}`: {told}", param=param) from fault


def updated_by_beta(current: SessionConfig, update: object, served: Served) -> SessionConfig:
    """Return `current` with what an update in the beta's spelling has.

    Raises:
        RefusedEventError: As `updated_config`, in the beta's spelling.
    """
    if not isinstance(update, dict):
        raise RefusedEventError("`session` must be an object", param="session")
    found: Json = {}
    for name, value in update.items():
        if name == "input_audio_format":
            found["format"] = _beta_format(value)
        elif name in _BETA_NAMES:
            found[_BETA_NAMES[name]] = value
        elif name not in _BETA_UNUSED and name != "include":
            raise _unknown(f"session.{name}")
    whole: Json = {"audio": {"input": found}}
    if "include" in update:
        whole["include"] = update["include"]
    try:
        return updated_config(current, whole, served)
    except RefusedEventError as refused:
        told, param = str(refused), refused.param or "session"
        for name, ours in _BETA_NAMES.items():
            place = f"session.audio.input.{ours}"
            told, param = told.replace(place, f"session.{name}"), param.replace(place, f"session.{name}")
        raise RefusedEventError(told, code=refused.code, param=param) from refused


def _merged(current: Json, update: Mapping[str, Any], defaults: Json, path: str) -> Json:
    merged = dict(current)
    for name, value in update.items():
        place = f"{path}.{name}"
        if name not in current:
            raise _unknown(place)
        default = _SWITCHED_ON.get(name, defaults[name])
        if value is None:
            merged[name] = None if name in _MAY_BE_OFF else defaults[name]
        elif not isinstance(default, dict):
            merged[name] = value
        elif not isinstance(value, dict):
            raise RefusedEventError(f"`{place}` must be an object", param=place)
        else:
            base = current[name] or default
            kind = value.get("type")
            if name in _OF_TYPE and isinstance(kind, str):
                default = _OF_TYPE[name].get(kind, default)
                base = base if base["type"] == kind else default
            elif name in _OF_TYPE:
                default = _OF_TYPE[name][base["type"]]
            merged[name] = _merged(base, value, default, place)
    return merged


def _checked(config: SessionConfig, served: Served) -> SessionConfig:
    """Check what types cannot tell, and put empty values in order.

    Raises:
        RefusedEventError: Another model, a language it does not speak, or keywords beyond the limits.
    """
    asked = config.input.transcription
    if asked is None:
        return config
    place = "session.audio.input.transcription"
    model = asked.model or served.names[0]
    if not served.offers(model):
        told = f"the model `{model[:100]}` does not exist here; this service offers {', '.join(served.names)}"
        raise RefusedEventError(told, code="model_not_found", param=f"{place}.model")
    language = (asked.language or "").strip()
    languages = [name for name in asked.languages or () if name.strip()]
    try:
        check_language([language] if language else [], served.languages, field=f"{place}.language")
        check_language(languages, served.languages, field=f"{place}.languages")
        keywords = list(checked_keywords(asked.keywords or (), name=f"{place}.keywords", field=f"{place}.keywords"))
    except InvalidRequestError as refused:
        raise RefusedEventError(str(refused), param=refused.field) from refused
    transcription = msgspec.structs.replace(
        asked,
        model=model,
        language=language or None,
        languages=languages or None,
        keywords=keywords or None,
        prompt=asked.prompt or None,
    )
    replaced = msgspec.structs.replace(config.input, transcription=transcription)
    return msgspec.structs.replace(config, audio=Audio(input=replaced))


def _beta_format(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str) or value not in _BETA_FORMATS:
        told = " or ".join(f"`{name}`" for name in _BETA_FORMATS)
        raise RefusedEventError(f"`session.input_audio_format` must be {told}", param="session.input_audio_format")
    return msgspec.to_builtins(_BETA_FORMATS[value])


def _unknown(place: str) -> RefusedEventError:
    shown = place[:200]
    return RefusedEventError(f"there is no `{shown}`", code="unknown_parameter", param=shown)

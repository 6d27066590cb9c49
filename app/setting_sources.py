"""Where the value of a setting comes from: flags over environment over a TOML file over the default in `settings.py`."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo

from .settings import Settings, SettingsError, extra_of, fields, is_secret

PREFIX: Final = "STT_"
CONFIG_FILE: Final = f"{PREFIX}CONFIG_FILE"  # the one variable that is no setting: where the TOML file lies


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


def _converted(field: FieldInfo, value: Any) -> Any:
    """Return the value as the setting has it.

    Raises:
        msgspec.ValidationError, ValueError: It is none.
    """
    converted = msgspec.convert(_plain(field, value), field.type, strict=False)
    if read := extra_of(field).get("each"):
        for part in converted:
            read(part)
    return converted


def _plain(field: FieldInfo, value: Any) -> Any:
    """Leave out the spaces around a text, and take a list apart that came as one."""
    if not isinstance(field.default, tuple):
        return value.strip() if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        if any("," in part for part in value):
            raise ValueError("none of the values may have a comma in it")
        value = ",".join(value).strip() or "," * bool(value)  # one empty value is not the same as none
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if is_secret(field) and value.strip():
        return parts  # with the empty ones, which are faults: half a list of keys is no list to rely on
    return [part for part in parts if part]


def _file(path: str | None, faults: list[str]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as fault:
        faults.append(f"{CONFIG_FILE}: {path} cannot be read: {fault}")
        return {}

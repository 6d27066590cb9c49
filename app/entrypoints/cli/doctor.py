"""`parakeet-stt doctor`: looks at everything that the service will need, and says what to do where it is not well."""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from ...setting_sources import read_settings
from ...settings import Settings, SettingsError
from . import checks_machine, checks_parts
from .findings import Finding

Check = Callable[[Settings], Iterator[Finding]]

_CHECKS: Final[tuple[Check, ...]] = (
    checks_parts.packages,
    checks_parts.named_files,
    checks_parts.device,
    checks_parts.model,
    checks_parts.decoding,
    checks_parts.voice_detection,
    checks_machine.confinement,
    checks_machine.cores,
    checks_machine.memory,
    checks_machine.open_files,
    checks_machine.uploads,
    checks_machine.port,
    checks_parts.microphone,
)
_WIDTH: Final = 15  # of the longest topic


def doctor(environment: Mapping[str, str], flags: Mapping[str, Any], *, as_json: bool) -> int:
    """Print every finding as it comes, or all of them as JSON; 1 if one of them is a failure."""
    found: list[Finding] = []
    for finding in _findings(environment, flags):
        found.append(finding)
        if not as_json:
            print(_shown(finding), flush=True)
    counts = {state: sum(finding.state == state for finding in found) for state in ("failure", "warning")}
    if as_json:
        print(msgspec.json.format(msgspec.json.encode({"findings": found, **counts}), indent=2).decode())
    else:
        print(f"\nfailures: {counts['failure']}, warnings: {counts['warning']}")
    return 1 if counts["failure"] else 0


def _findings(environment: Mapping[str, str], flags: Mapping[str, Any]) -> Iterator[Finding]:
    settings = Settings()
    try:
        settings = read_settings(environment, flags)
        yield Finding(topic="settings", told="can be used")
    except SettingsError as fault:
        for line in str(fault).splitlines():
            yield Finding(topic="settings", state="failure", told=line, fix="docs/settings.md has names and ranges")
        yield Finding(
            topic="settings", state="warning", told="what follows is found with the defaults", fix="mend the settings first"
        )
    _hush(settings)
    for check in _CHECKS:
        yield from _checked(check, settings)


def _checked(check: Check, settings: Settings) -> Iterator[Finding]:
    """Run one check. What it needs may be missing, and what nobody foresaw must not keep the others from being made."""
    topic = check.__name__.replace("_", " ")
    try:
        yield from check(settings)
    except ImportError as fault:
        yield Finding(topic=topic, state="failure", told=f"cannot be tried: {fault}", fix=checks_parts.INSTALL)
    except Exception as fault:
        told = f"cannot be tried: {type(fault).__name__}: {fault}"
        yield Finding(topic=topic, state="failure", told=told, fix="this should not happen: please report it")


def _hush(settings: Settings) -> None:
    """Keep what the parts log to warnings, where there is a log at all."""
    try:
        from ..logs import configure_command_logs
    except ImportError:
        return  # that it is missing is found below
    configure_command_logs(settings)


def _shown(finding: Finding) -> str:
    colour = {"ok": 32, "warning": 33, "failure": 31}[finding.state]
    state = f"{finding.state:<7}"
    if sys.stdout.isatty():
        state = f"\x1b[{colour}m{state}\x1b[0m"
    lines = [f"{state}  {finding.topic:<{_WIDTH}}  {finding.told}"]
    if finding.fix:
        lines.append(f"{'':9}{'':{_WIDTH}}  -> {finding.fix}")
    return "\n".join(lines)

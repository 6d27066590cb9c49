"""The `parakeet-stt` command. Nothing heavy is imported before the arguments are checked."""

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import Any, Final

from ...setting_sources import Found, find_settings
from ...settings import Settings, SettingsError, fields, help_of

_OF_THE_MODEL: Final = ("model", "recognizer", "device", "precision")
_OF_FILES: Final = (*_OF_THE_MODEL, "max_upload_mb", "max_audio_s", "single_pass_s", "window_s", "log_level")
_OF_LIVE: Final = (*_OF_THE_MODEL, "max_audio_s", "live_utterance_s", "live_backlog_s", "log_level")
_OF_REPLICAS: Final = (
    *_OF_THE_MODEL, "replicas", "min_replicas", "replica_audio_s", "replica_idle_s", "ray_address", "replica_cpus", "replica_gpus",
    "stuck_s", "drain_s",
)  # fmt: skip
_SERVE: Final = "Run the service. Every flag is also a variable STT_<NAME>; the flag is stronger."
_DEMO: Final = "Run the service with the bundled model, and have it transcribe a sample."
_TRANSCRIBE: Final = "Transcribe files, folders, patterns, addresses or standard input, without a service or through a running one."
_LISTEN: Final = "Write down what a microphone hears while it hears it, or a file at the pace of speech, or raw sound from a pipe."
_MODELS: Final = "Show what can be served: the configured model (*), the bundled one, and what lies in the hub's cache."
_DOCTOR: Final = (
    "Look at all that `serve` would need with these settings, and say what to do where it is missing; 1 if it must be done."
)
_REPLICAS: Final = "Start the replicas of the model on a Ray cluster, or others in their places; count them; or end them."
_COMPLETION: Final = "Print a script that completes commands and flags in a shell."
_KEY: Final = (
    "Make an API key. The key, which is told this once, goes to standard error; its line for the file that STT_API_KEYS_FILE names"
    " goes to standard output: `parakeet-stt key alice >> keys`."
)
_SETTINGS: Final = "Show the settings that `serve` would have, and where each comes from."
_FORMS: Final = {
    "schema": "Print a JSON schema of the TOML file instead.",
    "example": "Print a TOML file that tells every setting.",
    "markdown": "Print the page of the documentation that tells every setting.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for a failure, 2 for a wrong call or wrong settings."""
    given = vars(parser().parse_args(arguments))
    command, defaults = given.pop("command"), given.pop("defaults")
    try:
        status = _run_bare(command, given) if command in ("key", "completion") else _run_with_settings(command, defaults, given)
        sys.stdout.flush()  # now, while a reader that is gone can still be told from a failure
        return status
    except SettingsError as fault:
        print(f"parakeet-stt: settings that cannot be used:\n{fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as shells say it
    except BrokenPipeError:  # whoever read what we say is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor shall Python's last flush fail
        return 1


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    whole = argparse.ArgumentParser(prog="parakeet-stt", description="Speech-to-text behind the OpenAI Audio API.")
    whole.add_argument("--version", action="version", version=version("parakeet-stt"))
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_command(commands, "serve", _SERVE, {})
    _add_command(commands, "demo", _DEMO, {"model": "bundled"})
    _add_transcribe(_add_command(commands, "transcribe", _TRANSCRIBE, {}, of=_OF_FILES))
    _add_listen(_add_command(commands, "listen", _LISTEN, {}, of=_OF_LIVE))
    _add_json(_add_command(commands, "models", _MODELS, {}, of=("model", "recognizer")))
    _add_json(_add_command(commands, "doctor", _DOCTOR, {}))
    _add_forms(_add_command(commands, "settings", _SETTINGS, {}))
    replicas = _add_command(commands, "replicas", _REPLICAS, {}, of=_OF_REPLICAS)
    replicas.add_argument("action", choices=("deploy", "status", "delete"))
    key = commands.add_parser("key", help=_KEY.partition(".")[0] + ".", description=_KEY)
    key.set_defaults(defaults={})
    key.add_argument("name", metavar="NAME", help="what the log calls it: letters, digits, `.`, `-` and `_`")
    completion = commands.add_parser("completion", help=_COMPLETION, description=_COMPLETION)
    completion.set_defaults(defaults={})
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return whole


def _run_bare(command: str, given: dict[str, Any]) -> int:
    """Run a command that has no settings."""
    if command == "key":
        from .key import make_key

        return make_key(given["name"])
    import shtab

    print(shtab.complete(parser(), shell=given["shell"]))
    return 0


def _run_with_settings(command: str, defaults: dict[str, str], given: dict[str, Any]) -> int:
    flags = {name: given.pop(name) for name in fields() if name in given}
    environment = {**{f"STT_{name.upper()}": value for name, value in defaults.items()}, **os.environ}
    if command == "doctor":
        from .doctor import doctor

        return doctor(environment, flags, as_json=given["json"])
    return _run(command, given, find_settings(environment, flags))


def _run(command: str, given: dict[str, Any], found: Found) -> int:
    settings = found.settings
    match command:
        case "demo":
            from .demo import demo

            return demo(settings)
        case "settings":
            from .settings import show

            return show(found, given["form"])
        case "transcribe":
            from .transcribe import TranscribeArguments, transcribe

            return transcribe(TranscribeArguments(**given), settings)
        case "listen":
            from .listen import ListenArguments, listen

            return listen(ListenArguments(**given), settings)
        case _:
            return _run_of_operators(command, given, settings)


def _run_of_operators(command: str, given: dict[str, Any], settings: Settings) -> int:
    """Run the service, or what tells or readies what it needs."""
    match command:
        case "models":
            from .models import models

            return models(settings, as_json=given["json"])
        case "replicas":
            from .replicas import replicas

            return replicas(given["action"], settings)
        case _:
            from .serve import serve

            return serve(settings)


def _add_command(
    commands: Any, name: str, summary: str, defaults: dict[str, str], *, of: Collection[str] | None = None
) -> argparse.ArgumentParser:
    """Add a command with a flag for each setting, or for those in `of`."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    command.set_defaults(defaults=defaults)
    group = command.add_argument_group("settings")
    for field in fields().values():
        if of is not None and field.name not in of:
            continue
        default = defaults.get(field.name, field.default)
        shown = ",".join(default) if isinstance(default, tuple) else default
        group.add_argument(
            f"--{field.name.replace('_', '-')}", metavar="VALUE", default=None,
            help=f"{help_of(field)} Default: {shown}".replace("%", "%%"),
        )  # fmt: skip
    return command


def _add_transcribe(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("inputs", nargs="*", metavar="FILE|FOLDER|-", help="what to transcribe; folders to the bottom, `-` is standard input")
    add("--url", action="append", default=[], help="download this http or https address and transcribe it; may be repeated")
    add("--format", default="text", metavar="LIST", help="text, json, srt, vtt, verbose_json; several with commas (default: text)")
    add("--output-dir", metavar="FOLDER", help="write files there; without it one recording goes to standard output")
    add("--words", action="store_true", help="times of words, too, in verbose_json")
    add("--keywords", default="", metavar="LIST", help="words and phrases that may well be said, separated by commas")
    add("--glob", metavar="PATTERN", help="names to take from folders (default: every ending of audio and video)")
    _add_server(command, "have a running service do the work: one request for each file and format")
    add("--jobs", type=int, metavar="N", help="recordings under way at a time (default: as many as fill the model's batches)")
    add("--force", action="store_true", help="do again what an earlier run has written")
    add("--summary", metavar="FILE", help="write there as JSON what became of each recording")
    add("--quiet", action="store_true", help="neither progress nor totals")


def _add_listen(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "input",
        nargs="?",
        metavar="FILE|-",
        help="a file, at the pace of speech, or `-`: raw 16-bit samples (default: a microphone)",
    )
    add("--microphone", metavar="NAME", help="part of its name, or its number in `python -m sounddevice` (default: the system's)")
    add("--rate", type=int, default=16_000, metavar="HZ", help="samples per second of standard input (default: 16000)")
    add("--format", choices=("text", "json"), default="text", help="json: a line for each message, as `/ws` sends them")
    add("--words", action="store_true", help="times and probabilities of words, too, in json")
    add("--keywords", default="", metavar="LIST", help="words and phrases that may well be said, separated by commas")
    _add_server(command, "have a running service do the work, over its WebSocket `/ws`")


def _add_server(command: argparse.ArgumentParser, told: str) -> None:
    command.add_argument("--server", metavar="URL", help=told)
    command.add_argument(
        "--api-key", metavar="KEY", default=os.environ.get("PARAKEET_API_KEY"),
        help="of that service (default: $PARAKEET_API_KEY, which other users of this machine do not see)",
    )  # fmt: skip


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="the same for machines")


def _add_forms(command: argparse.ArgumentParser) -> None:
    forms = command.add_mutually_exclusive_group()
    for form, told in _FORMS.items():
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=told)

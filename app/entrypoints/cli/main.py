"""The `parakeet-stt` command. Nothing heavy is imported before the arguments are checked."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ...settings import SettingsError, fields, help_of, read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for a failure, 2 for a wrong call or wrong settings."""
    parser = argparse.ArgumentParser(prog="parakeet-stt", description="Speech-to-text behind the OpenAI Audio API.")
    parser.add_argument("--version", action="version", version=version("parakeet-stt"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_command(commands, "serve", "Run the service. Every flag is also a variable STT_<NAME>; the flag is stronger.", {})
    _add_command(commands, "demo", "Run the service with the bundled model, and have it transcribe a sample.", {"model": "bundled"})
    given = vars(parser.parse_args(arguments))
    command, defaults = given.pop("command"), given.pop("defaults")
    try:
        settings = read_settings({**{f"STT_{name.upper()}": value for name, value in defaults.items()}, **os.environ}, given)
        if command == "demo":
            from .demo import demo

            return demo(settings)
        from .serve import serve

        return serve(settings)
    except SettingsError as fault:
        print(f"parakeet-stt: settings that cannot be used:\n{fault}", file=sys.stderr)
        return 2


def _add_command(commands: Any, name: str, summary: str, defaults: dict[str, str]) -> None:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(defaults=defaults)
    for field in fields().values():
        default = defaults.get(field.name, field.default)
        shown = ",".join(default) if isinstance(default, tuple) else default
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", metavar="VALUE", default=None,
            help=f"{help_of(field)} Default: {shown}".replace("%", "%%"),
        )  # fmt: skip

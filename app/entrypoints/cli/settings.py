"""`parakeet-stt settings`: the effective settings, and what is made of their description: a schema, a file, a page."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ...setting_sources import CONFIG_FILE, PREFIX, Found
from ...settings import Settings, fields, help_of, is_secret, range_of

_PAGE: Final = f"""# Settings

Made from the code by `just settings-page`.

Flags are stronger than environment variables, which are stronger than a TOML file, which is stronger than the default. The
variable is `{PREFIX}` and the name in capitals (`{PREFIX}PORT`), the flag has dashes (`--max-upload-mb`), the file is named by
`{CONFIG_FILE}` and has lines like `port = 8001`. Lists are separated by commas; in the file they are TOML's. Unknown names and
values out of range are errors: all of them are listed before anything is loaded, and the command ends with status 2.

```sh
parakeet-stt settings              # the effective settings and where each comes from; secrets are hidden
parakeet-stt settings --example    # a file with every setting at its default, to begin with
parakeet-stt settings --schema     # a JSON schema of that file, for editors
```

| name | default | range | meaning |
| --- | --- | --- | --- |
"""
_EXAMPLE: Final = f"""# Settings of parakeet-stt, each at its default. Take away the `#` of a line to change it, and have
# {CONFIG_FILE} name this file. Environment variables and flags are stronger.
"""


def show(found: Found, form: str | None) -> int:
    """Print the settings in force, or one of `FORMS`; 0."""
    print(FORMS[form]() if form else effective(found), end="")
    return 0


def effective(found: Found) -> str:
    """Return the settings in force as a TOML file, each with its source; of secrets only how many there are."""
    lines: list[tuple[str, str]] = []
    for name, value in found.settings.__rich_repr__():
        shown = f"#{name}: {value}" if is_secret(fields()[name]) else f"{name} = {_toml(value)}"
        lines.append((shown, found.sources.get(name, "default")))
    width = max(len(shown) for shown, _ in lines)
    return "".join(f"{shown:<{width}}  # {source}\n" for shown, source in lines)


def schema() -> str:
    """Return a JSON schema (2020-12) of the TOML file."""
    (reference,), components = msgspec.json.schema_components([Settings], ref_template="#/$defs/{name}")
    described: dict[str, Any] = components[reference["$ref"].rpartition("/")[2]]
    for name, field in fields().items():
        if is_secret(field):
            described["properties"][name]["writeOnly"] = True
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    told = json.dumps({**head, **described, "additionalProperties": False}, indent=2, ensure_ascii=False)
    return told.replace(r"\\Z", "$") + "\n"  # the end of a text, as the regular expressions of a schema write it


def example() -> str:
    """Return a TOML file that tells every setting, all of them commented out."""
    told = [_EXAMPLE]
    for name, field in fields().items():
        allowed = range_of(field)
        told.append(f"\n# {help_of(field)}" + (f" Allowed: {allowed}." if allowed and "`" not in allowed else ""))
        told.append(f"#{name} = {_toml(field.default)}")
    return "\n".join(told) + "\n"


def page() -> str:
    """Return the page of the documentation that tells every setting."""
    return _PAGE + "".join(_row(name) for name in fields())


def _row(name: str) -> str:
    field = fields()[name]
    default = ",".join(field.default) if isinstance(field.default, tuple) else _short(field.default)
    cells = (f"`{name}`", f"`{default}`" if default else "", range_of(field), help_of(field))
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    """A value as TOML writes it: but for numbers, as JSON does."""
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007F")


FORMS: Final[dict[str, Callable[[], str]]] = {"schema": schema, "example": example, "markdown": page}

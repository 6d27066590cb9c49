"""One target under atheris: `python -m tests.fuzz.drive TARGET [FOLDER...] [-flag=value...]`, as libFuzzer has them."""

import sys

import atheris

with atheris.instrument_imports(include=["app", "multipart", "tests.fuzz"]):  # before anything else imports them
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    atheris.Setup([sys.argv[0], *rest], TARGETS[name].run)
    atheris.Fuzz()

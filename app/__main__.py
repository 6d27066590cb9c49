"""`python -m parakeet_stt`: the console script by its module."""

from .entrypoints.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`parakeet-stt key NAME`: makes an API key."""

import sys

from ..keys import KeysError, new_key


def make_key(name: str) -> int:
    """Tell a new key to standard error and its entry to standard output, so that `>> file` keeps the entry alone."""
    try:
        secret, key = new_key(name)
    except KeysError as fault:
        print(f"parakeet-stt: {fault}", file=sys.stderr)
        return 2
    print(f"the key of {name}, told this once:\n\n  {secret}\n", file=sys.stderr)
    print(key.entry)
    return 0

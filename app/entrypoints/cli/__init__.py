"""The command line."""

from time import monotonic
from typing import Final

BEGAN_S: Final = monotonic()  # when this program began: what came before this line is the interpreter's own start

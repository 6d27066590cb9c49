"""How many examples hypothesis tries: few and the same in every run, or with `--hypothesis-profile=fuzz` many and new ones."""

from typing import Final

from hypothesis import HealthCheck, settings

_USUAL_EXAMPLES: Final = 60
_MANY_EXAMPLES: Final = 600

settings.register_profile(  # the same examples in every run, and none refused because the machine was busy
    "ours",
    max_examples=_USUAL_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("ours"), max_examples=_MANY_EXAMPLES, derandomize=False)
settings.load_profile("ours")


def examples(n: int) -> int:
    """Return how many examples to try where `n` are usual."""
    return n * settings().max_examples // _USUAL_EXAMPLES

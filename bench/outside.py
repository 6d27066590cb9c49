"""The whole service with a model that answers at once: what a request costs outside the model.

`python -m bench.outside`, with the service's settings in the environment. Everything else is the real thing.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from dependency_injector import providers

from app.container import Container
from app.domain.audio import Clip
from app.domain.ports import DeviceMemory, Options, RecognizerFacts
from app.domain.transcript import Token, Transcript
from app.entrypoints.cli.serve import serve
from app.setting_sources import read_settings

_TOKEN_S: Final = 0.3  # 3.3 tokens a second, as in speech: they are rendered like any
_SYLLABLES: Final = (" to", "morrow", " we", " shall", " see", " more", " of", " it")


class InstantRecognizer:
    """Says the same syllables of every clip, as many as speech of its length has."""

    facts = RecognizerFacts(model_id="instant", languages=("en",), longest_clip_s=300.0, batch_padded_s=60.0, demonstration=True)

    def configuration(self) -> Mapping[str, Any]:
        return {}

    def device_memory(self) -> DeviceMemory | None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:  # noqa: ARG002  # the port's
        return [_transcript(clip.duration_s) for clip in clips]


@cache
def _transcript(duration_s: float) -> Transcript:
    n_tokens = int(duration_s / _TOKEN_S)
    return Transcript(
        tokens=tuple(
            Token(id=i % 8, text=_SYLLABLES[i % 8], start_s=i * _TOKEN_S, end_s=(i + 1) * _TOKEN_S, logprob=-0.1)
            for i in range(n_tokens)
        )
    )


if __name__ == "__main__":
    Container.recognizer.override(providers.ThreadSafeSingleton(InstantRecognizer))
    sys.exit(serve(read_settings(os.environ)))

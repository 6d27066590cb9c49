"""What clients ask of a service under torment, and what each of them must get back if it gets a text at all."""

import random
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import httpx
import msgspec

from .troubled_ruler import POISON, float_wav, said, text_of

_MOST_WORDS: Final = 6
_FIELDS: Final[dict[str, dict[str, str]]] = {
    "json": {},
    "verbose_json": {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
    "text": {"response_format": "text"},
    "stream": {"stream": "true"},
}


class Leaves(StrEnum):
    """When a client goes away."""

    NEVER = "never"
    UPLOADING = "in the middle of its upload"
    WAITING = "before its answer"


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request or live session."""

    number: int
    kind: str
    says: str = ""  # what is said in it
    told: int = 200  # the status it must get, unless it is refused
    answer_format: str = "json"
    body: bytes  # of a form; of a live session the sound
    content_type: str = ""
    leaves: Leaves = Leaves.NEVER

    @property
    def request_id(self) -> str:
        return f"ask-{self.number}"


def ruler_asks(n: int, *, seed: int) -> Iterator[Ask]:
    """Yield requests that all say words of their own: a text that was meant for another is known by its first word."""
    chance = random.Random(seed)
    kinds = {
        "file": 62, "stream": 10, "words and times": 8, "plain text": 5, "live": 3, "no audio": 4, "poison": 2,
        "leaves uploading": 3, "leaves waiting": 3,
    }  # fmt: skip
    for number, kind in enumerate(chance.choices(list(kinds), list(kinds.values()), k=n)):
        words = [number * _MOST_WORDS + i for i in range(chance.randint(1, _MOST_WORDS))]
        yield _ruler_ask(number, kind, words, chance)


def _ruler_ask(number: int, kind: str, words: list[int], chance: random.Random) -> Ask:
    says = text_of(*words)
    match kind:
        case "live":
            return Ask(number=number, kind=kind, says=says, body=said(*words).samples.tobytes())
        case "poison":
            return form(number, kind, "", float_wav(said(words[0], POISON)), told=500)
        case "no audio":
            return form(number, kind, "", chance.randbytes(2_000), told=400)
        case "leaves uploading":
            return form(number, kind, says, float_wav(said(*words)), leaves=Leaves.UPLOADING)
        case "leaves waiting":
            return form(number, kind, says, float_wav(said(*words)), leaves=Leaves.WAITING)
        case _:
            formats = {"stream": "stream", "words and times": "verbose_json", "plain text": "text"}
            return form(number, kind, says, float_wav(said(*words)), answer_format=formats.get(kind, "json"))


def recorded_asks(n: int, files: Mapping[str, bytes], texts: Mapping[str, str], *, seed: int) -> Iterator[Ask]:
    """Yield requests with real recordings; `texts` is what the same service made of each when nothing troubled it."""
    chance = random.Random(seed)
    names: Sequence[str] = sorted(files)
    for number in range(n):
        name, answer_format = chance.choice(names), chance.choice(list(_FIELDS))
        leaves = chance.choices(list(Leaves), [94, 3, 3])[0]
        kind = "file" if leaves is Leaves.NEVER else f"leaves {leaves.name.lower()}"
        yield form(number, kind, texts[name], files[name], answer_format=answer_format, leaves=leaves)


def form(
    number: int,
    kind: str,
    says: str,
    data: bytes,
    *,
    told: int = 200,
    answer_format: str = "json",
    leaves: Leaves = Leaves.NEVER,
) -> Ask:
    """Make a request with `data` as its file."""
    request = httpx.Request("POST", "http://any", files={"file": data}, data=_FIELDS[answer_format])
    return Ask(
        number=number, kind=kind, says=says, told=told, answer_format=answer_format, body=request.read(),
        content_type=request.headers["content-type"], leaves=leaves,
    )  # fmt: skip

"""Talks to the application's WebSockets in this process."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import WebSocketTestSession
from prometheus_client.parser import text_string_to_metric_families

from app.domain.audio import MODEL_RATE_HZ, Samples
from app.testing.ruler import RulerWord, encode_words

from .service import PATIENCE_S, Client

WORD_S: Final = 0.25
PAUSE_S: Final = 1.0  # longer than any silence limit in these tests

Message = dict[str, Any]


class Heard(msgspec.Struct, frozen=True):
    """Everything a socket was told until it was closed."""

    messages: list[Message]
    code: int
    reason: str

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages if message.get("final")]

    @property
    def said(self) -> str:
        """The texts in one; the utterance that a cut leaves may be empty."""
        return " ".join(text for text in self.texts if text)

    @property
    def errors(self) -> list[Message]:
        return [message["error"] for message in self.messages if "error" in message]

    @property
    def statuses(self) -> list[str]:
        return [message["status"] for message in self.messages if "status" in message]


def rest_of(session: WebSocketTestSession) -> Heard:
    """Read until the server closes."""
    messages: list[Message] = []
    while True:
        try:
            messages.append(session.receive_json(timeout=PATIENCE_S))
        except WebSocketDisconnect as closed:
            return Heard(messages, closed.code, closed.detail)


def talk(client: Client, pieces: Iterable[bytes], *, query: str = "", start: Message | None = None) -> Heard:
    """Hold a whole conversation on `/ws`."""
    with client.websocket_connect(f"/ws?{query}") as session:
        if start is not None:
            session.send_json(start)
        for piece in pieces:
            session.send_bytes(piece)
        session.send_json({"type": "finish"})
        return rest_of(session)


def utterance(numbers: Sequence[int], *, from_s: float = 0.0) -> list[RulerWord]:
    """Words of `WORD_S` with short gaps between them, from `from_s` on."""
    step = round((WORD_S + 0.05) * MODEL_RATE_HZ)
    first = round(from_s * MODEL_RATE_HZ)
    return [
        RulerWord(number=number, start_sample=first + i * step, n_samples=round(WORD_S * MODEL_RATE_HZ))
        for i, number in enumerate(numbers)
    ]


def spoken(utterances: Sequence[Sequence[int]], *, quiet_end: bool = True) -> tuple[Samples, list[list[RulerWord]]]:
    """Utterances with `PAUSE_S` before each and, if `quiet_end`, after the last: the samples and their words."""
    words: list[list[RulerWord]] = []
    end_s = 0.0
    for numbers in utterances:
        words.append(utterance(numbers, from_s=end_s + PAUSE_S))
        end_s = words[-1][-1].end_sample / MODEL_RATE_HZ
    return encode_words([word for one in words for word in one], end_s + (PAUSE_S if quiet_end else 0.0)).samples, words


def floats(samples: Samples) -> bytes:
    return np.asarray(samples, "<f4").tobytes()


def shorts(samples: Samples) -> bytes:
    return np.asarray(np.round(samples * 32_767), "<i2").tobytes()


def cut(data: bytes, *, n_bytes: int) -> list[bytes]:
    return [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]


def numbers_of(client: Client, headers: dict[str, str] | None = None) -> dict[str, float]:
    """What `/metrics` tells of sessions and the queue."""
    text = client.get("/metrics", headers=headers).text
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return {name: found[name] for name in ("stt_live_sessions", "stt_queue_items")}


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.01)

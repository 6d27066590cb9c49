"""Talks OpenAI's realtime protocol with the application in this process."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import WebSocketTestSession

from app.domain.audio import MODEL_RATE_HZ, Samples

from .live import Message, shorts
from .service import PATIENCE_S, Client, tone

PATH: Final = "/v1/realtime?intent=transcription"
TRANSCRIPT: Final = "conversation.item.input_audio_transcription"
ITEM: Final = ("input_audio_buffer.committed", "conversation.item.added", "conversation.item.done")
SAMPLES_16K: Final = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": MODEL_RATE_HZ}}}}
MANUAL: Final = {"audio": {"input": {**SAMPLES_16K["audio"]["input"], "turn_detection": None}}}
BETA: Final = {"openai-beta": "realtime=v1"}


class Talk:
    """One socket and everything it was told."""

    def __init__(self, session: WebSocketTestSession) -> None:
        self.session = session
        self.told: list[Message] = []

    def send(self, kind: str, **members: Any) -> None:
        self.session.send_json({"type": kind, **members})

    def append(self, samples: Samples, *, n_samples: int = 4_000) -> None:
        """Send 16 kHz samples in parts."""
        for at in range(0, samples.size, n_samples):
            sent = shorts(samples[at : at + n_samples])
            self.send("input_audio_buffer.append", audio=base64.b64encode(sent).decode())

    def next(self) -> Message:
        self.told.append(self.session.receive_json(timeout=PATIENCE_S))
        return self.told[-1]

    def until(self, *kinds: str) -> Message:
        """Read until an event of one of these types."""
        while self.next()["type"] not in kinds:
            pass
        return self.told[-1]

    def update(self, session: Mapping[str, Any], *, event: str = "session.update") -> Message:
        """Set the session; return what it is set to."""
        self.send(event, session=session)
        found: Message = self.until(f"{event}d")["session"]
        return found

    def error(self, kind: str, **members: Any) -> Message:
        """Send what is refused; return why, without the message."""
        self.send(kind, **members)
        error: Message = dict(self.until("error")["error"])
        assert error.pop("message")
        return error

    def utterance(self, samples: Samples) -> str:
        """Send one; return its transcript."""
        self.append(samples)
        text: str = self.until(f"{TRANSCRIPT}.completed")["transcript"]
        return text

    def end(self) -> tuple[str, int, str]:
        """Read until the server closes; return the last event's error code, and the code and reason of the close."""
        while True:
            try:
                self.next()
            except WebSocketDisconnect as closed:
                return self.told[-1]["error"]["code"], closed.code, closed.detail

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.told]


@contextmanager
def talking(
    client: Client,
    path: str = PATH,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
) -> Iterator[Talk]:
    """Open a socket, with nothing read."""
    with client.websocket_connect(path, headers=dict(headers or {}), subprotocols=list(subprotocols)) as session:
        yield Talk(session)


def quiet(duration_s: float) -> Samples:
    return np.zeros(round(duration_s * MODEL_RATE_HZ), np.float32)


def said(*, speech_s: float = 1.0, before_s: float = 0.5, after_s: float = 1.0) -> Samples:
    return np.concatenate([quiet(before_s), tone(speech_s), quiet(after_s)])

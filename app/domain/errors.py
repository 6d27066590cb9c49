"""Every failure the service raises on purpose. Texts are written for the client; a way in turns the type into its answer."""


class SpeechError(Exception):
    """Base of every failure raised on purpose, so the edge catches one type."""


class InvalidRequestError(SpeechError):
    """A field of the request is missing, malformed or wrong; `field` names it, None where the whole request is meant."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnsupportedValueError(InvalidRequestError):
    """A value the contract knows and this service cannot honour without changing the answer's shape."""


class AudioRejectedError(SpeechError):
    """This audio cannot be used; sending it again will not help."""


class AudioTooShortError(AudioRejectedError):
    def __init__(self, *, duration_s: float, least_s: float) -> None:
        super().__init__(f"the audio lasts {duration_s:.3f} s, and the least is {least_s:g} s")


class AudioTooLongError(AudioRejectedError):
    def __init__(self, *, limit_s: float) -> None:
        super().__init__(f"the audio lasts longer than the limit of {limit_s:g} s")


class EmptyBufferError(InvalidRequestError):
    """There is too little live sound to make an utterance of."""

    def __init__(self, *, buffered_s: float, least_s: float) -> None:
        super().__init__(f"there is {1000 * buffered_s:.0f} ms of audio to commit, and the least is {1000 * least_s:.0f} ms")


class FileTooLargeError(SpeechError):
    def __init__(self, *, limit_mb: int) -> None:
        super().__init__(f"the upload is larger than the limit of {limit_mb} MB")


class SlowUploadError(SpeechError):
    """The upload has stopped, or comes too slowly."""

    def __init__(self, *, received_bytes: int, idle_s: float) -> None:
        super().__init__(f"the upload came too slowly or stopped: {received_bytes} bytes, and no more of them within {idle_s:g} s")


class UnknownModelError(SpeechError):
    def __init__(self, *, asked: str, served: tuple[str, ...]) -> None:
        super().__init__(f"the model `{asked}` does not exist here; this service offers {', '.join(served)}")


class UnavailableError(SpeechError):
    """Not now; `retry_after_s` is when to ask again."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadedError(UnavailableError):
    """There is no room."""


class GoingDownError(OverloadedError):
    """The service ends; another instance may well take the request at once."""


class ModelNotReadyError(UnavailableError):
    """The model is still loading, or has failed for good."""


class DeadlineError(UnavailableError):
    """The answer did not come in time, and is not waited for any longer."""


class RateLimitedError(UnavailableError):
    """This caller asks for more than it may in a minute."""


class DeviceFailedError(SpeechError):
    """The device the model runs on is lost for this process; a recogniser raises it, and nothing can be recognised any more."""


class ModelUnavailableError(SpeechError):
    """The model cannot be had; the text names what to set."""


class RecognitionError(SpeechError):
    """The recogniser failed on this clip; the cause is in the log."""


class CancelledError(SpeechError):
    """Nobody waits for the answer any more."""

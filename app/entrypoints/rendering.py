"""A heard file in each format that is offered: for HTTP and for the command line."""

from ..domain.subtitles import srt_of, vtt_of
from .http.bodies import DurationUsage, Heard, TranscriptionBody, VerboseBody, included, verbose_body
from .http.parameters import TranscriptionRequest, language_name


def rendered(
    heard: Heard, asked: TranscriptionRequest, *, language: str, task: str = "transcribe"
) -> TranscriptionBody | VerboseBody | str:
    """Return what a request asks for: a struct for the two kinds of JSON, else text.

    Args:
        heard: The whole file; for the segments of `verbose_json` with its voice.
        language: ISO 639-1.
        task: `transcribe` or `translate`, as `verbose_json` tells it.
    """
    transcript = heard.transcript
    match asked.answer_format:
        case "json":
            return TranscriptionBody(
                text=transcript.text,
                **included(transcript, asked.include),
                usage=DurationUsage(seconds=round(heard.duration_s, 3)),
            )
        case "verbose_json":
            return verbose_body(
                heard,
                task=task,
                language=language_name(language),
                granularities=asked.granularities,
                temperature=asked.temperature,
            )
        case "srt":
            return srt_of(transcript)
        case "vtt":
            return vtt_of(transcript)
        case _:
            return transcript.text + "\n"

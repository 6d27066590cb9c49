"""A model in this process: one file, then the same sound live.

python examples/embedded.py app/samples/hello.wav
"""

import asyncio
import os
import sys
import wave

from parakeet_stt import Event, Final, LiveRules, Partial, SpeechToText, load, read_settings


async def tell(event: Event) -> None:
    match event:
        case Partial():
            print("so far:", (event.stable.text + event.tentative.text).strip())
        case Final():
            print(f"{event.start_s:.1f}-{event.end_s:.1f} s:", event.transcript.text)


async def captions(speech: SpeechToText, path: str) -> None:
    with wave.open(path) as sound:
        async with speech.live(tell, LiveRules(partials=True), rate_hz=sound.getframerate()) as session:
            while frames := sound.readframes(1600):
                await session.push(frames)
            await session.finish()


def main(path: str) -> None:
    with load(read_settings({"STT_MODEL": "bundled", **os.environ})) as speech:
        print("file:", speech.hear(path).text)
        asyncio.run(captions(speech, path))


if __name__ == "__main__":
    main(sys.argv[1])

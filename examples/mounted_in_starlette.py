"""The API under `/speech` of a Starlette application; FastAPI takes the same two lines.

pip install starlette granian
granian --interface asgi --app-dir examples mounted_in_starlette:app
curl -F file=@app/samples/hello.wav http://127.0.0.1:8000/speech/v1/audio/transcriptions
"""

import os

from parakeet_stt import SpeechService, read_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

speech = SpeechService(read_settings({"STT_MODEL": "bundled", **os.environ}))


def greet(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("speech is at /speech\n")


# A mounted application's lifespan is not run by Starlette: handed over here, it loads the model and, at the end, finishes.
app = Starlette(routes=[Route("/", greet), Mount("/speech", app=speech)], lifespan=speech.lifespan)

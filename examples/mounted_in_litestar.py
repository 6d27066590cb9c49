"""The API under `/speech` of another Litestar application.

granian --interface asgi --app-dir examples mounted_in_litestar:app
"""

import os

from litestar import Litestar, get
from parakeet_stt import SpeechPlugin, read_settings


@get("/", sync_to_thread=False)
def greet() -> str:
    return "speech is at /speech\n"


settings = read_settings({"STT_MODEL": "bundled", **os.environ})
app = Litestar([greet], plugins=[SpeechPlugin(settings, path="/speech")])

"""The whole service with the ruler as its model, here or in replicas: who is answered, and with whose words?

`python -m bench.ruler_service`, with the service's settings in the environment. Everything but the model and the voice detector
is the real thing.
"""

import os
import sys

from dependency_injector import providers

from app.container import Container
from app.entrypoints.cli.serve import serve
from app.setting_sources import read_settings
from app.testing.fakes import FakeVoiceDetector

from .troubled_ruler import RECOGNIZER

if __name__ == "__main__":
    Container.detector.override(providers.ThreadSafeSingleton(FakeVoiceDetector))
    sys.exit(serve(read_settings({**os.environ, "STT_RECOGNIZER": RECOGNIZER})))
